"""One optimizer step: forward, backward, optimizer, teacher update, `after_step` of each loss; in that order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from findna_kit.components.interfaces import BranchOutput
from findna_kit.errors import NotFinite
from findna_kit.trainer.forward import FEWEST, Batch, Forward, Outputs, dropout_seed, training_batch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from findna_kit.components.interfaces import LossOutput
    from findna_kit.data.sources import Data
    from findna_kit.distributed import Engine
    from findna_kit.schedules import Clock
    from findna_kit.trainer.experiment import Experiment
    from findna_kit.trainer.optimizers import ScheduledOptimizer


@dataclass
class Sums:
    """What a step adds up over micro-batches: each loss's sum and metrics, and what it carries to `after_step`."""

    values: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    carries: dict[str, list[Mapping[str, Tensor]]] = field(default_factory=dict)

    def add(self, label: str, term: LossOutput) -> None:
        """Another micro-batch's term."""
        into = self.values.setdefault(label, {})
        for name, value in {"loss": term.sum.detach(), **term.metrics}.items():
            into[name] = into[name] + value.float() if name in into else value.float()
        if term.state_inputs:
            self.carries.setdefault(label, []).append(term.state_inputs)

    def state_inputs(self, label: str) -> dict[str, Tensor]:
        """The whole batch's carry of one loss."""
        parts = self.carries.get(label, [])
        return {name: torch.cat([part[name] for part in parts]) for name in (parts[0] if parts else ())}


def train_step(
    experiment: Experiment,
    data: Data,
    engine: Engine,
    optimizer: ScheduledOptimizer,
    clock: Clock,
    held_out: Mapping[str, float],
    micro_batch: int,
) -> dict[str, float]:
    """Takes the step and returns what to log. Raises NotFinite, with nothing applied, where a term or the gradient is not."""
    rows = engine.local_indices(experiment.batch_size)
    batch = training_batch(experiment, data, clock.step, rows)
    optimizer.zero_grad()
    for normalised in experiment.norms:
        normalised.before_step()
    sums, counts = accumulate_gradients(experiment, data, engine, clock, batch, micro_batch)
    parameters = optimizer.parameters
    engine.all_reduce_gradients(parameters)
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = get_total_norm(gradients)
    metrics = _metrics(experiment, engine, clock, sums, counts, norm)

    if experiment.clip_norm is not None:
        clip_grads_with_norm_(parameters, experiment.clip_norm, norm)
    metrics |= optimizer.step(clock)
    metrics |= experiment.teacher_update(experiment.teacher, experiment.student, clock, {**held_out, **metrics})
    for label, weighted in experiment.losses.items():
        state_inputs = sums.state_inputs(label)
        if weighted.loss.coupling == "sample":  # a batch-coupled loss has seen the global batch already
            state_inputs = {name: engine.gather(value) for name, value in state_inputs.items()}
        weighted.loss.after_step(state_inputs, clock)
    for normalised in experiment.norms:
        normalised.after_step()
    return metrics


def accumulate_gradients(
    experiment: Experiment, data: Data, engine: Engine, clock: Clock, batch: Batch, micro_batch: int
) -> tuple[Sums, dict[str, Tensor]]:
    """Leaves the gradient of the weighted objective in the parameters; sums and global counts of each loss."""
    forward = Forward(experiment, engine)
    sample, coupled = forward.labels("sample"), forward.labels("batch")
    rows = engine.local_indices(experiment.batch_size)
    parts = [slice(at, min(at + micro_batch, len(rows))) for at in range(0, len(rows), micro_batch)]
    counts = {label: engine.all_reduce_sum(count) for label, count in forward.counts(batch, sample).items()}
    sums = Sums()

    def student(place: int, labels: list[str]) -> Outputs:
        return forward.branch("student", batch.rows(parts[place]), labels, dropout=(clock, place))

    both = [*coupled, *sample]
    once = student(0, both) if len(parts) == 1 else None  # one micro-batch needs no second pass
    cached: _Cached | None = None
    if coupled:
        cached = _Cached(forward, clock)
        for place, part in enumerate(parts):
            with torch.no_grad():
                cached.add(once or student(place, coupled), forward.branch("teacher", batch.rows(part), coupled))
        counts |= cached.backward(_global_batch(experiment, data, engine, clock, batch), sums)

    for place, part in enumerate(parts):
        students = once or student(place, both)
        with torch.no_grad():
            teachers = forward.branch("teacher", batch.rows(part), sample)
        total: Tensor | None = None
        for label in sample:
            with dropout_seed(experiment, engine, clock, f"heads {place}"):
                term = forward.term(label, students, teachers, clock)
            sums.add(label, term)
            share = experiment.losses[label].weight(clock) / counts[label].clamp(min=FEWEST) * term.sum
            total = share if total is None else total + share
        tensors, gradients = cached.rows_with_gradients(students, part) if cached else ([], [])
        if total is not None:
            tensors, gradients = [total, *tensors], [None, *gradients]
        torch.autograd.backward(tensors, gradients)
    return sums, counts


def _global_batch(experiment: Experiment, data: Data, engine: Engine, clock: Clock, batch: Batch) -> Batch:
    """The views of every process's rows: views are cheap, and functions of the step and the rows."""
    if engine.world_size == 1:
        return batch
    rows = torch.arange(experiment.batch_size, device=engine.device)
    return training_batch(experiment, data, clock.step, rows)


class _Cached:
    """Batch-coupled losses on cached embeddings (Gao et al. 2021, GradCache): the loss is taken once on the rows of the whole
    global batch, cut off from the encoder; its gradient at those rows is what the second pass carries into the encoder.
    """

    def __init__(self, forward: Forward, clock: Clock) -> None:
        self.forward, self.clock = forward, clock
        self.labels = forward.labels("batch")
        self.student: dict[tuple[str, str], list[Tensor]] = {}
        self.teacher: dict[tuple[str, str], list[Tensor]] = {}
        self.gradients: dict[tuple[str, str], Tensor] = {}

    def add(self, student: Outputs, teacher: Outputs) -> None:
        """One micro-batch's rows."""
        for label in self.labels:
            needs_teacher = self.forward.experiment.losses[label].loss.needs_teacher
            for kept, outputs in ((self.student, student), (self.teacher, teacher if needs_teacher else {})):
                for name, read in self.forward.read(label, outputs).items():
                    kept.setdefault((label, name), []).append(read.detach())

    def backward(self, batch: Batch, sums: Sums) -> dict[str, Tensor]:
        """Adds the heads' gradients to theirs, and keeps the rows'; the counts of the losses."""
        forward, engine = self.forward, self.forward.engine
        counts = forward.counts(batch, self.labels)
        outputs = {name: BranchOutput(view) for name, view in batch.views.items()}
        for label in self.labels:
            leaves = self._rows(self.student, label)
            for leaf in leaves.values():
                leaf.requires_grad_(True)
            with dropout_seed(forward.experiment, engine, self.clock, f"heads of {label}", shared=True):
                term = forward.term(label, outputs, outputs, self.clock, rows=(leaves, self._rows(self.teacher, label)))
            sums.add(label, term)
            weight = forward.experiment.losses[label].weight(self.clock) / counts[label].clamp(min=FEWEST)
            chains = (forward.experiment.student.heads[label], forward.experiment.predictors[label])
            heads = [parameter for chain in chains for parameter in chain.parameters()]
            wanted = [*leaves.values(), *heads]
            gradients = torch.autograd.grad(weight * term.sum, wanted, allow_unused=True)
            for (name, leaf), gradient in zip(leaves.items(), gradients, strict=False):
                self.gradients[label, name] = torch.zeros_like(leaf) if gradient is None else gradient
            for head, gradient in zip(heads, gradients[len(leaves) :], strict=True):
                if gradient is not None:  # every process has taken the whole loss: its share is one of `processes`
                    head.grad = gradient / engine.world_size if head.grad is None else head.grad + gradient / engine.world_size
        return counts

    def rows_with_gradients(self, student: Outputs, part: slice) -> tuple[list[Tensor], list[Tensor | None]]:
        """A micro-batch's rows, to be given to `backward` with the gradients kept for them."""
        local = self.forward.engine.local_indices(self.forward.experiment.batch_size)[part]
        tensors: list[Tensor] = []
        gradients: list[Tensor | None] = []
        for label in self.labels:
            for name, read in self.forward.read(label, student).items():
                tensors.append(read)
                gradients.append(self.gradients[label, name][local].to(read.dtype))
        return tensors, gradients

    def _rows(self, kept: dict[tuple[str, str], list[Tensor]], label: str) -> dict[str, Tensor]:
        return {name: self.forward.engine.gather(torch.cat(rows)) for (owner, name), rows in kept.items() if owner == label}


def _metrics(
    experiment: Experiment, engine: Engine, clock: Clock, sums: Sums, counts: Mapping[str, Tensor], norm: Tensor
) -> dict[str, float]:
    """Every loss and metric over the global batch, read from the device at once."""
    names, values = [], []
    for label, weighted in experiment.losses.items():
        for name, value in sums.values[label].items():
            whole = engine.all_reduce_sum(value) if weighted.loss.coupling == "sample" else value
            names.append(f"{label}/{name}")
            values.append(whole / counts[label].clamp(min=FEWEST))
    *numbers, gradient_norm = torch.stack([*values, norm]).tolist()
    metrics = dict(zip(names, numbers, strict=True))
    metrics["loss"] = sum(term.weight(clock) * metrics[f"{label}/loss"] for label, term in experiment.losses.items())
    for label in experiment.losses:
        if not _finite(metrics[f"{label}/loss"]):
            raise NotFinite(
                f"step {clock.step + 1}: losses.{label} is {metrics[f'{label}/loss']}; nothing of this step was applied"
            )
    if not _finite(gradient_norm):
        raise NotFinite(f"step {clock.step + 1}: the gradient's norm is {gradient_norm}; nothing of this step was applied")
    return {**metrics, "gradient_norm": gradient_norm}


def _finite(value: float) -> bool:
    return value - value == 0.0

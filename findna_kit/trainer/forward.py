"""Forward passes: from windows to views, from views to outputs of both branches, and from these to losses."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from findna_kit import rng
from findna_kit.model.branch import apply_heads, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractContextManager

    from torch import Tensor

    from findna_kit.components.interfaces import BranchOutput, Loss, LossOutput
    from findna_kit.components.views import View
    from findna_kit.data.sources import Data
    from findna_kit.distributed import Engine
    from findna_kit.schedules import Clock
    from findna_kit.trainer.experiment import Experiment, WeightedLoss

Outputs = dict[str, "BranchOutput"]
"""One branch's outputs, by view name."""


@dataclass(frozen=True)
class Batch:
    """Views of some samples of the global batch, and the noise added to their one-hot bases, by view name."""

    views: Mapping[str, View]
    noise: Mapping[str, Tensor | None]

    def __len__(self) -> int:
        """Return the number of samples; 0 if no loss needs a view."""
        return len(next(iter(self.views.values())).tokens) if self.views else 0

    def rows(self, part: slice) -> Batch:
        """Return a slice of the samples."""
        noise = {name: None if values is None else values[part] for name, values in self.noise.items()}
        return Batch({name: view.select(part) for name, view in self.views.items()}, noise)


def make_batch(
    experiment: Experiment, windows: View, *, step: int | str, rows: Tensor, plain: bool = False, longest: bool = False
) -> Batch:
    """Return every view of the windows that a loss needs.

    rows: the samples' indices in the global batch, which seed their augmentations and masks. plain: without augmentation.
    longest: with crops of the largest length that any step has.
    """
    # A view that only the teacher sees is not made unless a loss reads the teacher.
    pipelines = [p for p in experiment.pipelines if p.plan.student or needs_teacher(experiment.losses.values())]
    key = {"seed": experiment.seed, "step": step, "rows": rows}
    made = {
        p.name: p.plain(windows, **key) if plain else p.view(windows, **key, longest=longest)  # type: ignore[arg-type]
        for p in pipelines
    }
    # Drawn here and not in a forward pass: both branches, and both passes of a batch-coupled loss, must get the same noise.
    return Batch(made, {p.name: p.noise(made[p.name], **key) for p in pipelines})  # type: ignore[arg-type]


def training_batch(experiment: Experiment, data: Data, step: int, rows: Tensor, *, longest: bool = False) -> Batch:
    """Return the views of these samples of a step's global batch, on the device of `rows`.

    longest: with crops of the largest length that any step has, for what must hold in every step: memory and FLOPs.
    """
    # Windows are read on the CPU, where the genome is mapped into memory; views are made on the device.
    windows = data.training.draw(step, rows.cpu()).to(rows.device)
    return make_batch(experiment, windows, step=step, rows=rows, longest=longest)


def slices(count: int, size: int) -> list[slice]:
    """Return the slices that cut `count` samples into micro-batches of `size`; the last one may be smaller."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def needs_teacher(losses: Iterable[WeightedLoss]) -> bool:
    """Return whether any of the losses reads the teacher."""
    return any(weighted.loss.needs_teacher for weighted in losses)


class Forward:
    """Forward passes of both branches, and the losses computed from them."""

    def __init__(self, experiment: Experiment, engine: Engine) -> None:
        self.experiment, self.engine = experiment, engine
        plans = [pipeline.plan for pipeline in experiment.pipelines]
        self.views_of = {"student": [p.name for p in plans if p.student], "teacher": [p.name for p in plans if p.teacher]}

    def labels(self, coupling: Literal["sample", "batch"]) -> list[str]:
        """Return the labels of the losses with that coupling."""
        return [label for label, weighted in self.experiment.losses.items() if weighted.loss.coupling == coupling]

    def run_branch(
        self,
        which: Literal["student", "teacher"],
        batch: Batch,
        labels: Iterable[str],
        *,
        as_student: bool | None = None,
        dropout: tuple[Clock, int] | None = None,
    ) -> Outputs:
        """Return one branch's outputs on the views that it sees, with what these losses read.

        as_student: whether the branch gets the student's views, with masked tokens; the default is whether it is the student.
        Validation uses it to predict masked bases with the teacher. dropout: clock and micro-batch that seed dropout, needed
        in training mode only. Each view has its own seed, because the two passes of a batch-coupled loss need not forward the
        same views.
        """
        losses = [self.experiment.losses[label].loss for label in labels]
        # The role decides which views the branch sees, and whether their masked or clean tokens.
        as_student = which == "student" if as_student is None else as_student
        role = "student" if as_student else "teacher"
        if not as_student:
            losses = [loss for loss in losses if loss.needs_teacher]
        if not losses:
            return {}
        module = getattr(self.experiment, which)
        # One forward pass serves all losses: the branch computes the union of what they read.
        wants = {loss.head_input for loss in losses}
        layers = sorted({layer for loss in losses for layer in loss.layers(module.encoder.depth)})
        outputs = {}
        for name in self.views_of[role]:
            view = batch.views[name]
            if wants == {"masked"} and not view.masked_index.shape[1]:
                continue  # no loss would read this view
            tokens = view.student_tokens if as_student else view.tokens
            seed = dropout_seed(self.experiment, self.engine, dropout[0], f"{dropout[1]} {name}") if dropout else nullcontext()
            with self.engine.autocast(), seed:
                outputs[name] = module(view, tokens, batch.noise[name], wants=wants, layers=layers)
        return outputs

    def head_inputs(self, label: str, outputs: Outputs) -> dict[str, Tensor]:
        """Return the inputs of a loss's heads by view; views without masked positions are left out if it reads those."""
        loss = self.experiment.losses[label].loss
        return {
            name: read_rows(output, loss.head_input)
            for name, output in outputs.items()
            if loss.head_input != "masked" or output.view.masked_index.shape[1]
        }

    def loss_output(
        self,
        label: str,
        student: Outputs,
        teacher: Outputs,
        clock: Clock,
        *,
        inputs: tuple[Mapping[str, Tensor], Mapping[str, Tensor]] | None = None,
        branch: Literal["student", "teacher"] = "student",
    ) -> LossOutput:
        """Apply a loss's heads to the outputs of both branches, and compute the loss.

        inputs: of the student's and the teacher's heads, if they were cached. branch: the one whose heads act as the student's.
        """
        experiment = self.experiment
        loss: Loss = experiment.losses[label].loss
        student_inputs, teacher_inputs = inputs or (
            self.head_inputs(label, student),
            self.head_inputs(label, teacher) if loss.needs_teacher else {},
        )
        with self.engine.autocast():
            twins, own = getattr(experiment, branch).heads[label], experiment.predictors[label]
            students = {
                name: replace(
                    student[name], rows=rows, heads=apply_heads(rows, twins, own, own_before=loss.student_heads_before)
                )
                for name, rows in student_inputs.items()
            }
            # A teacher that is not a copy of the student may lack a loss's heads, and even the empty chain of them.
            teacher_twins = experiment.teacher.heads[label] if label in experiment.teacher.heads else nn.ModuleDict()
            with torch.no_grad():
                teachers = {
                    name: replace(teacher[name], rows=rows, heads=apply_heads(rows, teacher_twins))
                    for name, rows in teacher_inputs.items()
                }
        # Outside of autocast, so that the arithmetic of the loss itself is not cast to bf16.
        output: LossOutput = loss(students, teachers, clock)
        return output

    def counts(self, batch: Batch, labels: Iterable[str]) -> dict[str, Tensor]:
        """Return the item count of each loss on these samples, from the views alone."""
        student = {name: batch.views[name] for name in self.views_of["student"]}
        # A view that only the teacher sees is missing if no loss reads the teacher (see make_batch).
        teacher = {name: batch.views[name] for name in self.views_of["teacher"] if name in batch.views}
        return {label: self.experiment.losses[label].loss.count(student, teacher) for label in labels}


def dropout_seed(
    experiment: Experiment, engine: Engine, clock: Clock, scope: str, *, shared: bool = False
) -> AbstractContextManager[None]:  # fmt: skip
    """Return a context in which dropout is a function of seed, step, rank and scope: equal in both passes of a cached loss.

    scope: which forward this is (micro-batch, and view or loss). shared: leave out the rank, for what all processes compute
    alike.
    """
    rank = 0 if shared else engine.rank
    return rng.torch_seed(experiment.seed, "dropout", clock.step, rank, scope, device=engine.device)

"""Validation: losses as in training, masked-base prediction on plain windows, and collapse signals, on held-out windows."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

import torch

from findna_kit.components.interfaces import BranchOutput
from findna_kit.metrics.collapse import feature_deviation, rankme
from findna_kit.metrics.names import collapse_metric, plain_validation_metric, validation_metric
from findna_kit.trainer.forward import Forward, make_batch, slices
from findna_kit.trainer.loss_sums import LossSums

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from findna_kit.components.views import View
    from findna_kit.data.sources import Data
    from findna_kit.distributed import Engine
    from findna_kit.metrics.names import LossMetricName
    from findna_kit.schedules import Clock
    from findna_kit.trainer.experiment import Experiment
    from findna_kit.trainer.forward import Batch

BranchName = Literal["student", "teacher"]
BRANCHES: tuple[BranchName, ...] = ("student", "teacher")


class Validation:
    """Validates on the same windows, views and masks every time, and changes no state.

    extra_metrics: constants, such as baselines, to log with every validation.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: Data,
        engine: Engine,
        micro_batch: int,
        extra_metrics: Mapping[str, float] | None = None,
    ) -> None:
        self.experiment, self.engine, self.micro_batch = experiment, engine, micro_batch
        self.extra_metrics = dict(extra_metrics or {})
        self.data, self.forward = data, Forward(experiment, engine)

    # Windows and views are made at the first validation, and only in the process that validates.
    @cached_property
    def windows(self) -> View:
        """Return the held-out windows."""
        return self.data.validation.fixed(self.experiment.trainer.validation_windows).to(self.engine.device)

    @cached_property
    def batch(self) -> Batch:
        """Return the recipe's views of the windows."""
        return self._batch(plain=False)

    @cached_property
    def plain(self) -> Batch:
        """Return the same views without augmentation."""
        return self._batch(plain=True)

    def _batch(self, *, plain: bool) -> Batch:
        """Return all views of the windows, seeded by `validation` instead of a step, so that they never change."""
        rows = torch.arange(len(self.windows.tokens), device=self.engine.device)
        return make_batch(self.experiment, self.windows, step="validation", rows=rows, plain=plain)

    @torch.no_grad()
    def run(self, clock: Clock) -> dict[str, float]:
        """Return all metrics under `held_out/`, `held_out_plain/` and `collapse/`, and the extra metrics."""
        self.experiment.eval()
        # Without dropout, and with fixed views and masks, the numbers of two validations differ by the networks alone.
        metrics = self._losses(clock)
        for branch in BRANCHES:
            metrics |= self._plain(branch, clock)
        self.experiment.train()
        return metrics | self.extra_metrics

    def _losses(self, clock: Clock) -> dict[str, float]:
        """Return each loss over chunks as large as a global batch: the value of a batch-coupled loss depends on the size."""
        sums, counts = LossSums(), dict[str, "Tensor"]()
        for part in slices(len(self.windows.tokens), self.experiment.batch_size):
            _add_counts(counts, self._add_chunk(self.batch.rows(part), sums, clock))
        return self._means(sums, counts, validation_metric)

    def _means(self, sums: LossSums, counts: Mapping[str, Tensor], name_of: LossMetricName) -> dict[str, float]:
        """Return the metrics of every loss, by metric name, which `name_of(label, name)` gives."""
        return {
            name_of(label, name): float(value)
            for label in sums.values
            for name, value in sums.metrics(label, self.experiment.losses[label].loss, counts[label]).items()
        }

    def _add_chunk(self, chunk: Batch, sums: LossSums, clock: Clock) -> dict[str, Tensor]:
        """Add every loss on one chunk to `sums`, and return the item counts."""
        forward = self.forward
        sample, coupled = forward.labels("sample"), forward.labels("batch")
        # Head inputs of batch-coupled losses, over the micro-batches: by label, branch and view.
        inputs: dict[str, dict[str, dict[str, list[Tensor]]]] = {label: {"student": {}, "teacher": {}} for label in coupled}
        for part in slices(len(chunk), self.micro_batch):
            outputs = {branch: forward.run_branch(branch, chunk.rows(part), self.experiment.losses) for branch in BRANCHES}
            for label in sample:
                sums.add(label, forward.loss_output(label, outputs["student"], outputs["teacher"], clock))
            for label in coupled:
                for branch in BRANCHES if self.experiment.losses[label].loss.needs_teacher else BRANCHES[:1]:
                    for name, tensor in forward.head_inputs(label, outputs[branch]).items():
                        inputs[label][branch].setdefault(name, []).append(tensor)
        # As in training, a batch-coupled loss runs once on the whole chunk and gets head inputs only.
        views = {name: BranchOutput(view) for name, view in chunk.views.items()}
        for label in coupled:
            student, teacher = (
                {name: torch.cat(tensors) for name, tensors in inputs[label][branch].items()} for branch in BRANCHES
            )
            sums.add(label, forward.loss_output(label, views, views, clock, inputs=(student, teacher)))
        return forward.counts(chunk, self.experiment.losses)

    def _plain(self, which: BranchName, clock: Clock) -> dict[str, float]:
        """Return one branch's losses on masked bases of windows without augmentation, and its collapse signals."""
        forward, labels = self.forward, self._masked_losses(which)
        sums, counts = LossSums(), dict[str, "Tensor"]()
        pooled, classes = [], []
        for part in slices(len(self.windows.tokens), self.micro_batch):
            batch = self.plain.rows(part)
            # The teacher too is shown masked tokens here, so that both branches are asked the same question.
            outputs = forward.run_branch(which, batch, labels, as_student=True)
            for label in labels:
                sums.add(label, forward.loss_output(label, outputs, {}, clock, branch=which))
            _add_counts(counts, forward.counts(batch, labels))
            output = self._embed(which, self.windows.select(part))
            pooled.append(output.pooled)
            classes.append(output.class_embeddings)
        metrics = self._means(sums, counts, partial(plain_validation_metric, branch=which))
        return metrics | _collapse(which, torch.cat(pooled), torch.cat(classes))  # type: ignore[arg-type]

    def _masked_losses(self, which: BranchName) -> list[str]:
        """Return the losses that predict masked bases with this branch alone.

        The teacher has no predictors, and may lack a loss's heads.
        """
        # The others cannot be computed here: a batch-coupled loss does not add up over micro-batches, and a loss that needs the
        # teacher gets no outputs of it when a single branch is measured.
        experiment = self.experiment
        return [
            label
            for label, weighted in experiment.losses.items()
            if weighted.loss.head_input == "masked" and not weighted.loss.needs_teacher and weighted.loss.coupling == "sample"
            and not (which == "teacher" and len(experiment.predictors[label]))  # type: ignore[arg-type]
            and label in getattr(experiment, which).heads
        ]  # fmt: skip

    def _embed(self, which: BranchName, view: View) -> BranchOutput:
        """Return one branch's embeddings of clean windows, as a frozen model computes them."""
        with self.engine.autocast():
            output: BranchOutput = getattr(self.experiment, which)(view, view.tokens, None, wants={"pooled", "class"})
        return output


def _add_counts(counts: dict[str, Tensor], more: Mapping[str, Tensor]) -> None:
    """Add item counts to `counts`, in place."""
    for label, count in more.items():
        counts[label] = counts.get(label, torch.zeros_like(count)) + count


def _collapse(which: BranchName, pooled: Tensor, classes: Tensor) -> dict[str, float]:
    """Return the collapse signals of pooled embeddings [n, D] and class embeddings [n, C, D], the latter's mean over C."""
    signals = {"pooled_deviation": feature_deviation(pooled), "pooled_rankme": rankme(pooled)}
    # Of each class token on its own: tokens that differ from each other would hide that none depends on the sequence.
    tokens = classes.float().unbind(1)
    if tokens:
        signals["class_deviation"] = sum(map(feature_deviation, tokens)) / len(tokens)
        signals["class_rankme"] = sum(map(rankme, tokens)) / len(tokens)
    return {collapse_metric(which, signal): value for signal, value in signals.items()}

"""The look at the held-out windows: losses as in training, masked bases on plain windows, collapse signals."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch

from findna_kit.components.interfaces import BranchOutput
from findna_kit.metrics.collapse import feature_deviation, rankme
from findna_kit.trainer.forward import FEWEST, Forward, make_batch
from findna_kit.trainer.step import Sums

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from findna_kit.components.views import View
    from findna_kit.data.sources import Data
    from findna_kit.distributed import Engine
    from findna_kit.schedules import Clock
    from findna_kit.trainer.experiment import Experiment
    from findna_kit.trainer.forward import Batch

BRANCHES: tuple[Literal["student", "teacher"], ...] = ("student", "teacher")


class Validation:
    """The same windows, views and masks at every look; moves no state, and every process sees the same."""

    def __init__(
        self, experiment: Experiment, data: Data, engine: Engine, micro_batch: int, beside: Mapping[str, float] | None = None
    ) -> None:
        self.experiment, self.engine, self.micro_batch, self.beside = experiment, engine, micro_batch, dict(beside or {})
        self.data, self.forward = data, Forward(experiment, engine)

    @cached_property
    def windows(self) -> View:
        """The held-out windows; like the views of them, made by a process that looks, when it looks first."""
        return self.data.validation.fixed(self.experiment.trainer.validation_windows).to(self.engine.device)

    @cached_property
    def batch(self) -> Batch:
        """The recipe's views of them."""
        return self._batch(plain=False)

    @cached_property
    def plain(self) -> Batch:
        """The same without augmentation."""
        return self._batch(plain=True)

    def _batch(self, *, plain: bool) -> Batch:
        rows = torch.arange(len(self.windows.tokens), device=self.engine.device)
        return make_batch(self.experiment, self.windows, step="validation", rows=rows, plain=plain)

    @torch.no_grad()
    def look(self, clock: Clock) -> dict[str, float]:
        """Everything under `held_out/`, `held_out_plain/` and `collapse/`, and what stands beside."""
        own = (self.experiment.student, self.experiment.predictors)
        for module in own:
            module.eval()
        metrics = self._losses(clock)
        for branch in BRANCHES:
            metrics |= self._plain(branch, clock)
        for module in own:
            module.train()
        return metrics | self.beside

    def _losses(self, clock: Clock) -> dict[str, float]:
        """Each loss over chunks of the size of a global batch: what a batch-coupled loss is depends on it."""
        sums, counts = Sums(), dict[str, "Tensor"]()
        for place in _slices(len(self.windows.tokens), self.experiment.batch_size):
            for label, count in self._add_terms(self.batch.rows(place), sums, clock).items():
                counts[label] = counts.get(label, torch.zeros_like(count)) + count
        return _divided(sums, counts, "held_out")

    def _add_terms(self, chunk: Batch, sums: Sums, clock: Clock) -> dict[str, Tensor]:
        forward = self.forward
        sample, coupled = forward.labels("sample"), forward.labels("batch")
        rows: dict[str, dict[str, dict[str, list[Tensor]]]] = {label: {"student": {}, "teacher": {}} for label in coupled}
        for place in _slices(len(chunk), self.micro_batch):
            part = chunk.rows(place)
            outputs = {branch: forward.branch(branch, part, self.experiment.losses) for branch in BRANCHES}
            for label in sample:
                sums.add(label, forward.term(label, outputs["student"], outputs["teacher"], clock))
            for label in coupled:
                for branch in BRANCHES if self.experiment.losses[label].loss.needs_teacher else BRANCHES[:1]:
                    for name, read in forward.read(label, outputs[branch]).items():
                        rows[label][branch].setdefault(name, []).append(read)
        whole = {name: BranchOutput(view) for name, view in chunk.views.items()}
        for label in coupled:
            whole_rows = [{name: torch.cat(parts) for name, parts in rows[label][branch].items()} for branch in BRANCHES]
            sums.add(label, forward.term(label, whole, whole, clock, rows=(whole_rows[0], whole_rows[1])))
        return forward.counts(chunk, self.experiment.losses)

    def _plain(self, which: Literal["student", "teacher"], clock: Clock) -> dict[str, float]:
        """Masked bases on windows without augmentation, asked of either branch; and how its embeddings spread."""
        forward, losses = self.forward, self.experiment.losses
        masked = [
            label
            for label, term in losses.items()
            if term.loss.head_input == "masked" and not term.loss.needs_teacher and term.loss.coupling == "sample"
            and not (which == "teacher" and len(self.experiment.predictors[label]))  # type: ignore[arg-type]
            and label in getattr(self.experiment, which).heads
        ]  # fmt: skip
        sums, counts = Sums(), dict[str, "Tensor"]()
        pooled, classes = [], []
        for place in _slices(len(self.windows.tokens), self.micro_batch):
            part = self.plain.rows(place)
            outputs = forward.branch(which, part, masked, as_student=True)
            for label in masked:
                sums.add(label, forward.term(label, outputs, {}, clock, branch=which))
            for label, count in forward.counts(part, masked).items():
                counts[label] = counts.get(label, torch.zeros_like(count)) + count
            output = self._embed(which, self.windows.select(place))
            pooled.append(output.pooled)
            classes.append(output.class_embeddings)
        metrics = {f"{name}/{which}": value for name, value in _divided(sums, counts, "held_out_plain").items()}
        return metrics | _collapse(which, torch.cat(pooled), torch.cat(classes))  # type: ignore[arg-type]

    def _embed(self, which: Literal["student", "teacher"], view: View) -> BranchOutput:
        """The clean windows, as a frozen model would see them."""
        with self.engine.autocast():
            output: BranchOutput = getattr(self.experiment, which)(view, view.tokens, None, wants={"pooled", "class"})
        return output


def _slices(count: int, size: int) -> list[slice]:
    return [slice(at, min(at + size, count)) for at in range(0, count, size)]


def _divided(sums: Sums, counts: dict[str, Tensor], prefix: str) -> dict[str, float]:
    return {
        f"{prefix}/{label}/{name}": float(value / counts[label].clamp(min=FEWEST))
        for label, values in sums.values.items()
        for name, value in values.items()
    }


def _collapse(which: str, pooled: Tensor, classes: Tensor) -> dict[str, float]:
    """Of the pooled embeddings, and of each class token's apart, averaged over the tokens."""
    signals = {
        f"collapse/{which}/pooled_deviation": feature_deviation(pooled),
        f"collapse/{which}/pooled_rankme": rankme(pooled),
    }
    tokens = classes.float().unbind(1)
    if tokens:
        signals[f"collapse/{which}/class_deviation"] = sum(map(feature_deviation, tokens)) / len(tokens)
        signals[f"collapse/{which}/class_rankme"] = sum(map(rankme, tokens)) / len(tokens)
    return signals

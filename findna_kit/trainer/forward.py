"""From views to loss terms: which branch sees what, whose heads read which rows."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch

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
FEWEST = 1e-6
"""What a count of items is at least divided by: there may be none, and with weights of positions they may be less than one."""


@dataclass(frozen=True)
class Batch:
    """Views of some rows of the global batch, and the noise that they state, by view name."""

    views: Mapping[str, View]
    noise: Mapping[str, Tensor | None]

    def __len__(self) -> int:
        """Rows; 0 where no loss asks for a view."""
        return len(next(iter(self.views.values())).tokens) if self.views else 0

    def rows(self, part: slice) -> Batch:
        """Some of the rows."""
        noise = {name: None if drawn is None else drawn[part] for name, drawn in self.noise.items()}
        return Batch({name: view.select(part) for name, view in self.views.items()}, noise)


def make_batch(experiment: Experiment, windows: View, *, step: int | str, rows: Tensor, plain: bool = False) -> Batch:
    """Every view of the windows that a loss asks for; `plain` ones for measuring."""
    wanted = [p for p in experiment.pipelines if p.plan.student or needs_teacher(experiment.losses.values())]
    key = {"seed": experiment.seed, "step": step, "rows": rows}
    views = {p.name: (p.plain if plain else p.view)(windows, **key) for p in wanted}  # type: ignore[arg-type]
    return Batch(views, {p.name: p.noise(views[p.name], **key) for p in wanted})  # type: ignore[arg-type]


def training_batch(experiment: Experiment, data: Data, step: int, rows: Tensor) -> Batch:
    """The views of these rows of a step's global batch, on the device of `rows`."""
    windows = data.training.draw(step, rows.cpu()).to(rows.device)
    return make_batch(experiment, windows, step=step, rows=rows)


def needs_teacher(terms: Iterable[WeightedLoss]) -> bool:
    """Whether any of the losses reads the teacher."""
    return any(term.loss.needs_teacher for term in terms)


class Forward:
    """Forward passes of both branches, and the terms that follow from them."""

    def __init__(self, experiment: Experiment, engine: Engine) -> None:
        self.experiment, self.engine = experiment, engine
        plans = [pipeline.plan for pipeline in experiment.pipelines]
        self.seen = {"student": [p.name for p in plans if p.student], "teacher": [p.name for p in plans if p.teacher]}

    def labels(self, coupling: Literal["sample", "batch"]) -> list[str]:
        """The losses of that coupling."""
        return [label for label, term in self.experiment.losses.items() if term.loss.coupling == coupling]

    def branch(
        self,
        which: Literal["student", "teacher"],
        batch: Batch,
        labels: Iterable[str],
        *,
        as_student: bool | None = None,
        dropout: tuple[Clock, int] | None = None,
    ) -> Outputs:
        """One branch's outputs on the views that it sees, holding what these losses read.

        as_student: shown the views as the student is (default: for the student); so the teacher can be asked for bases.
        dropout: the clock and the micro-batch that seed it, view by view: the two passes of a cached loss need not forward the
        same views. Needed in training mode only.
        """
        losses = [self.experiment.losses[label].loss for label in labels]
        as_student = which == "student" if as_student is None else as_student
        role = "student" if as_student else "teacher"
        if not as_student:
            losses = [loss for loss in losses if loss.needs_teacher]
        if not losses:
            return {}
        module = getattr(self.experiment, which)
        wants = {loss.head_input for loss in losses}
        layers = sorted({layer for loss in losses for layer in loss.layers(module.encoder.depth)})
        outputs = {}
        for name in self.seen[role]:
            view = batch.views[name]
            if wants == {"masked"} and not view.masked_index.shape[1]:
                continue  # nothing on this view would be read
            tokens = view.student_tokens if as_student else view.tokens
            seed = dropout_seed(self.experiment, self.engine, dropout[0], f"{dropout[1]} {name}") if dropout else nullcontext()
            with self.engine.autocast(), seed:
                outputs[name] = module(view, tokens, batch.noise[name], wants=wants, layers=layers)
        return outputs

    def read(self, label: str, outputs: Outputs) -> dict[str, Tensor]:
        """The rows that a loss reads, by view; a view without masked positions has none for a loss that reads those."""
        loss = self.experiment.losses[label].loss
        return {
            name: read_rows(output, loss.head_input)
            for name, output in outputs.items()
            if loss.head_input != "masked" or output.view.masked_index.shape[1]
        }

    def term(
        self,
        label: str,
        student: Outputs,
        teacher: Outputs,
        clock: Clock,
        *,
        rows: tuple[Mapping[str, Tensor], Mapping[str, Tensor]] | None = None,
        branch: Literal["student", "teacher"] = "student",
    ) -> LossOutput:
        """One loss's term. `rows`: what its heads read, where that was kept apart; `branch`: whose heads play the student's."""
        experiment = self.experiment
        loss: Loss = experiment.losses[label].loss
        student_rows, teacher_rows = rows or (
            self.read(label, student),
            self.read(label, teacher) if loss.needs_teacher else {},
        )
        with self.engine.autocast():
            chain = (getattr(experiment, branch).heads[label], experiment.predictors[label])
            students = {
                name: replace(student[name], rows=read, heads=apply_heads(read, *chain)) for name, read in student_rows.items()
            }
            # One that its rule did not make of the student may have no heads, nor an empty chain of them.
            taught = [experiment.teacher.heads[label]] if label in experiment.teacher.heads else []
            with torch.no_grad():
                teachers = {
                    name: replace(teacher[name], rows=read, heads=apply_heads(read, *taught))
                    for name, read in teacher_rows.items()
                }
        result: LossOutput = loss(students, teachers, clock)
        return result

    def counts(self, batch: Batch, labels: Iterable[str]) -> dict[str, Tensor]:
        """The items of each loss on these rows."""
        student = {name: batch.views[name] for name in self.seen["student"]}
        teacher = {name: batch.views[name] for name in self.seen["teacher"] if name in batch.views}
        return {label: self.experiment.losses[label].loss.count(student, teacher) for label in labels}


def dropout_seed(
    experiment: Experiment, engine: Engine, clock: Clock, place: int | str, *, shared: bool = False
) -> AbstractContextManager[None]:  # fmt: skip
    """Dropout as a function of seed, step, rank and micro-batch: the same in both passes of a cached loss.

    shared: of what every process computes alike, so without the rank.
    """
    rank = 0 if shared else engine.rank
    return rng.torch_seed(experiment.seed, "dropout", clock.step, rank, place, device=engine.device)

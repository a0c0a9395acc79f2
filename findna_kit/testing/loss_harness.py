"""A loss in experiments small enough to be taken apart: which views suit it, one step of it, and what a step moves."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from findna_kit.assemble import assemble
from findna_kit.distributed import Engine
from findna_kit.errors import RecipeError
from findna_kit.schedules import Clock
from findna_kit.testing.checks import CPU
from findna_kit.testing.experiments import BATCH, CLASS_TOKENS, LENGTH, component_entry, read, recipe_document
from findna_kit.testing.samples import builtin_contigs, sample_data
from findna_kit.trainer.forward import training_batch
from findna_kit.trainer.optimizers import ScheduledAdamW
from findna_kit.trainer.step import accumulate_gradients, train_step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from findna_kit.components.interfaces import BranchOutput, Loss
    from findna_kit.recipe import Recipe
    from findna_kit.testing.checks import Case
    from findna_kit.trainer import Experiment
    from findna_kit.trainer.loss_sums import LossSums

LABEL = "tried"
WARMUP_STEPS = 2
CLOCK = Clock(WARMUP_STEPS, 10)
_MASK = {"name": "independent", "fraction": 0.3}
_TURN = [{"name": "reverse_complement", "probability": 0.5}, {"name": "insertion", "maximum": 4}]
_BOTH, _STUDENT, _TEACHER = {"see": ["student", "teacher"]}, {"see": ["student"]}, {"see": ["teacher"]}
LAYOUTS: dict[str, dict[str, dict[str, Any]]] = {
    "two views seen by both branches, one masked": {"first": {**_BOTH, "mask": _MASK}, "second": {**_BOTH, "augment": _TURN}},
    "two masked views seen by both branches": {
        "first": {**_BOTH, "mask": _MASK}, "second": {**_BOTH, "mask": _MASK, "augment": _TURN},
    },
    "a masked view of the student's, another of the teacher's": {
        "first": {**_STUDENT, "mask": _MASK}, "second": {**_TEACHER, "augment": _TURN},
    },
    "two views seen by both branches, and two crops of the student's": {
        "first": _BOTH, "second": {**_BOTH, "augment": _TURN}, "crop": {**_STUDENT, "length": 24, "count": 2},
    },
    "two views seen by both branches": {"first": _BOTH, "second": {**_BOTH, "augment": _TURN}},
    "one masked view seen by both branches": {"first": {**_BOTH, "mask": _MASK}},
    "one view seen by both branches": {"first": _BOTH},
    "a view of the student's, another of the teacher's": {"first": _STUDENT, "second": {**_TEACHER, "augment": _TURN}},
    "two views of the student's": {"first": _STUDENT, "second": {**_STUDENT, "augment": _TURN}},
    "one masked view of the student's": {"first": {**_STUDENT, "mask": _MASK}},
    "one view of the student's": {"first": _STUDENT},
    "one view of the teacher's": {"first": _TEACHER},
}  # fmt: skip
"""By what they are: views that a recipe may state, those that suit most losses first."""


def recipe_on_views(case: Case, layout: str, class_tokens: int = CLASS_TOKENS) -> Recipe:
    """A recipe whose one loss is the case, on those views."""
    stated = recipe_document(views=LAYOUTS[layout], losses={LABEL: component_entry(case)}, class_tokens=class_tokens)
    return read(case, stated)[0]


@dataclass(frozen=True)
class Captured:
    """What a loss was given, and what it made of it."""

    student: Mapping[str, BranchOutput]
    teacher: Mapping[str, BranchOutput]
    clock: Clock
    term: Any


class LossHarness:
    """One experiment with the loss, its windows, and one process on the CPU.

    begun: two steps are done, by one process whatever the engine: a queue is not empty, a centre not zero.
    """

    def __init__(self, recipe: Recipe, engine: Engine | None = None, *, begun: bool = True) -> None:
        self.experiment: Experiment = assemble(recipe)
        self.data = sample_data(LENGTH)
        self.engine = Engine(CPU, "fp32")
        self.experiment.on_genome(builtin_contigs())
        self.experiment.student.train()
        self.experiment.teacher.eval()
        for module in (*self.experiment.student.modules(), *self.experiment.predictors.modules()):
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # which is drawn anew for each micro-batch and process
        self._separate()
        if begun:
            self.train(WARMUP_STEPS)
        self.engine = engine or self.engine

    def _separate(self) -> None:
        """Moves the student a little, so that the branches differ as they do in the course of a run."""
        numbers = torch.Generator().manual_seed(0)
        for parameter in (*self.experiment.student.parameters(), *self.experiment.predictors.parameters()):
            parameter.data.add_(0.02 * torch.randn(parameter.shape, generator=numbers))

    @property
    def loss(self) -> Loss:
        """The loss under test."""
        return self.experiment.losses[LABEL].loss

    def step(self, micro_batch: int, step: int = CLOCK.step) -> tuple[dict[str, Tensor], LossSums, dict[str, Tensor]]:
        """Gradients by name, sums and counts of this process's share of a step's batch; nothing is applied."""
        for norm in self.experiment.norms:
            norm.before_step()
        named = self.experiment.trainable()
        for parameter in named.values():
            parameter.grad = None
        batch = training_batch(self.experiment, self.data, step, self.engine.local_indices(BATCH))
        clock = Clock(step, CLOCK.steps)
        sums, counts = accumulate_gradients(self.experiment, self.data, self.engine, clock, batch, micro_batch)
        return {name: one.grad.clone() for name, one in named.items() if one.grad is not None}, sums, counts

    def captured(self, micro_batch: int = BATCH, step: int = CLOCK.step) -> list[Captured]:
        """What the loss was given in a step, and its terms."""
        found: list[Captured] = []

        def keep(loss: nn.Module, given: tuple[Any, ...], term: Any) -> None:
            student, teacher, clock = given
            found.append(Captured(student, teacher, clock, term))

        handle = self.loss.register_forward_hook(keep)
        try:
            self.step(micro_batch, step)
        finally:
            handle.remove()
        return found

    def train(self, steps: int, micro_batch: int = BATCH, *, first: int = 0) -> list[dict[str, float]]:
        """Real steps; the metrics of each."""
        optimizer = ScheduledAdamW(self.experiment)
        return [
            train_step(self.experiment, self.data, self.engine, optimizer, Clock(step, CLOCK.steps), {}, micro_batch)
            for step in range(first, first + steps)
        ]


def find_suitable_views(case: Case) -> tuple[str, Recipe] | list[str]:
    """The first views that the loss has nothing against, and the recipe; or what it has against each."""
    reasons = []
    for layout in LAYOUTS:
        recipe = recipe_on_views(case, layout)
        try:
            assemble(recipe)
        except RecipeError as error:
            reasons.append(f"{layout}: {'; '.join(problem.message for problem in error.problems)}")
        else:
            return layout, recipe
    return reasons


def loss_harness(case: Case, engine: Engine | None = None, *, begun: bool = True) -> LossHarness:
    """The loss on the first views that suit it. Raises ValueError where none does."""
    found = find_suitable_views(case)
    if isinstance(found, list):
        raise ValueError("no views suit it")
    return LossHarness(found[1], engine, begun=begun)


def snapshot(module: nn.Module) -> dict[str, Any]:
    """Everything that a module and those inside keep in attributes, by path; tensors are copied."""
    kept: dict[str, Any] = {}
    for path, inner in module.named_modules():
        for name, value in vars(inner).items():
            if name.startswith("_") and name in _TORCHS_OWN:
                continue
            for place, one in _opened(f"{path}.{name}".lstrip("."), value):
                kept[place] = one
        tensors: dict[str, Tensor | None] = {**inner._buffers, **inner._parameters}
        kept |= {f"{path}.{name}".lstrip("."): one.detach().clone() for name, one in tensors.items() if one is not None}
    return kept


_TORCHS_OWN = frozenset(vars(nn.Module()))


def _opened(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Tensor):
        yield place, value.detach().clone()
    elif isinstance(value, dict):
        yield f"{place} (keys)", list(map(str, value))
        for key, one in value.items():
            yield from _opened(f"{place}[{key!r}]", one)
    elif isinstance(value, list | tuple):
        yield f"{place} (length)", len(value)
        for number, one in enumerate(value):
            yield from _opened(f"{place}[{number}]", one)
    elif isinstance(value, bool | int | float | str | set | None):
        yield place, deepcopy(value)


def changed_names(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Paths of what is not as it was."""
    return [name for name in sorted({**before, **after}) if not _equal(before.get(name), after.get(name))]


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and bool(torch.equal(one, other))
    return type(one) is type(other) and bool(one == other)

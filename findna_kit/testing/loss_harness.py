"""A loss in a small experiment: which views suit it, its gradients and sums in one step, and the state that a step changes."""

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
from findna_kit.testing.experiments import BATCH, CLASS_TOKENS, LENGTH, component_entry, read_recipe, recipe_document
from findna_kit.testing.samples import builtin_contigs, sample_data
from findna_kit.trainer.forward import training_batch
from findna_kit.trainer.optimizers import ScheduledOptimizer
from findna_kit.trainer.step import accumulate_gradients, train_step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from findna_kit.components.interfaces import BranchOutput, Loss
    from findna_kit.recipe import Recipe
    from findna_kit.testing.checks import Case
    from findna_kit.trainer import Experiment
    from findna_kit.trainer.loss_sums import LossSums

LABEL = "under_test"
WARMUP_STEPS = 2
CLOCK = Clock(WARMUP_STEPS, 10)
_MASK = {"name": "independent", "fraction": 0.3}
_SHIFT = [{"name": "reverse_complement", "probability": 0.5}, {"name": "insertion", "maximum": 4}]
_BOTH, _STUDENT, _TEACHER = {"see": ["student", "teacher"]}, {"see": ["student"]}, {"see": ["teacher"]}
LAYOUTS: dict[str, dict[str, dict[str, Any]]] = {
    "two views seen by both branches, one masked": {"first": {**_BOTH, "mask": _MASK}, "second": {**_BOTH, "augment": _SHIFT}},
    "two masked views seen by both branches": {
        "first": {**_BOTH, "mask": _MASK}, "second": {**_BOTH, "mask": _MASK, "augment": _SHIFT},
    },
    "a masked view of the student, another of the teacher": {
        "first": {**_STUDENT, "mask": _MASK}, "second": {**_TEACHER, "augment": _SHIFT},
    },
    "two views seen by both branches, and two crops of the student": {
        "first": _BOTH, "second": {**_BOTH, "augment": _SHIFT}, "crop": {**_STUDENT, "length": 24, "count": 2},
    },
    "two views seen by both branches": {"first": _BOTH, "second": {**_BOTH, "augment": _SHIFT}},
    "one masked view seen by both branches": {"first": {**_BOTH, "mask": _MASK}},
    "one view seen by both branches": {"first": _BOTH},
    "a view of the student, another of the teacher": {"first": _STUDENT, "second": {**_TEACHER, "augment": _SHIFT}},
    "two views of the student": {"first": _STUDENT, "second": {**_STUDENT, "augment": _SHIFT}},
    "one masked view of the student": {"first": {**_STUDENT, "mask": _MASK}},
    "one view of the student": {"first": _STUDENT},
    "one view of the teacher": {"first": _TEACHER},
}  # fmt: skip
"""Views of a recipe, by description. Those that suit most losses come first."""


def recipe_on_views(case: Case, layout: str, class_tokens: int = CLASS_TOKENS) -> Recipe:
    """Return a recipe with these views, whose only loss is the one under test."""
    document = recipe_document(views=LAYOUTS[layout], losses={LABEL: component_entry(case)}, class_tokens=class_tokens)
    return read_recipe(case, document)[0]


@dataclass(frozen=True)
class CapturedCall:
    """The arguments of one call of a loss, and its output."""

    student: Mapping[str, BranchOutput]
    teacher: Mapping[str, BranchOutput]
    clock: Clock
    output: Any


class LossHarness:
    """An experiment with the loss, sample windows, and an engine for one process on the CPU.

    warm: two steps are taken first, in one process whatever the engine, so that a queue is not empty and a centre not zero.
    """

    def __init__(self, recipe: Recipe, engine: Engine | None = None, *, warm: bool = True) -> None:
        self.experiment: Experiment = assemble(recipe)
        self.data = sample_data(LENGTH)
        self.engine = Engine(CPU, "fp32")
        self.experiment.on_genome(builtin_contigs())
        self.experiment.train()  # as in a run
        for module in (*self.experiment.student.modules(), *self.experiment.predictors.modules()):
            if isinstance(module, nn.Dropout):
                # Dropout differs between micro-batches and processes, which would hide real differences.
                module.p = 0.0
        self._separate_branches()
        if warm:
            self.train(WARMUP_STEPS)
        self.engine = engine or self.engine

    def _separate_branches(self) -> None:
        """Perturb the student, so that the branches differ as they do during a run."""
        numbers = torch.Generator().manual_seed(0)
        for parameter in (*self.experiment.student.parameters(), *self.experiment.predictors.parameters()):
            parameter.data.add_(0.02 * torch.randn(parameter.shape, generator=numbers))

    @property
    def loss(self) -> Loss:
        """Return the loss under test."""
        return self.experiment.losses[LABEL].loss

    def step(self, micro_batch: int, step: int = CLOCK.step) -> tuple[dict[str, Tensor], LossSums, dict[str, Tensor]]:
        """Return gradients by name, sums and counts of this process's share of a batch; the optimizer is not applied."""
        # What the trainer does before each step, without the optimizer: so the same step can be repeated and compared.
        for norm in self.experiment.norms:
            norm.before_step()
        named = self.experiment.trainable()
        for parameter in named.values():
            parameter.grad = None
        batch = training_batch(self.experiment, self.data, step, self.engine.local_indices(BATCH))
        clock = Clock(step, CLOCK.steps)
        sums, counts = accumulate_gradients(self.experiment, self.data, self.engine, clock, batch, micro_batch)
        gradients = {name: parameter.grad.clone() for name, parameter in named.items() if parameter.grad is not None}
        return gradients, sums, counts

    def captured_calls(self, micro_batch: int = BATCH, step: int = CLOCK.step) -> list[CapturedCall]:
        """Return the loss's calls in one step."""
        calls: list[CapturedCall] = []

        def capture(loss: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            student, teacher, clock = arguments
            calls.append(CapturedCall(student, teacher, clock, output))

        # A hook instead of a call by hand: the loss gets exactly what the trainer gives it.
        handle = self.loss.register_forward_hook(capture)
        try:
            self.step(micro_batch, step)
        finally:
            handle.remove()
        return calls

    def train(self, steps: int, micro_batch: int = BATCH, *, first: int = 0) -> list[dict[str, float]]:
        """Take real optimizer steps; return the metrics of each."""
        optimizer = ScheduledOptimizer(self.experiment)
        return [
            train_step(self.experiment, self.data, self.engine, optimizer, Clock(step, CLOCK.steps), {}, micro_batch)
            for step in range(first, first + steps)
        ]


def find_suitable_views(case: Case) -> tuple[str, Recipe] | list[str]:
    """Return the first views that the loss accepts with the recipe, or its objections to each of them."""
    objections = []
    for layout in LAYOUTS:
        recipe = recipe_on_views(case, layout)
        # Assembling calls `check_views`, whose message becomes a RecipeError.
        try:
            assemble(recipe)
        except RecipeError as error:
            objections.append(f"{layout}: {'; '.join(problem.message for problem in error.problems)}")
        else:
            return layout, recipe
    return objections


def loss_harness(case: Case, engine: Engine | None = None, *, warm: bool = True) -> LossHarness:
    """Return the loss on the first views that it accepts. Raise ValueError if it accepts none."""
    suitable = find_suitable_views(case)
    if isinstance(suitable, list):
        raise ValueError("the loss accepts none of the views")
    return LossHarness(suitable[1], engine, warm=warm)


def snapshot(module: nn.Module) -> dict[str, Any]:
    """Return a copy of all attributes, buffers and parameters of a module and its submodules, by path."""
    copies: dict[str, Any] = {}
    for path, inner in module.named_modules():
        for name, value in vars(inner).items():
            # Hooks, parameter and buffer dictionaries of torch itself; tensors are added below under their own names.
            if name.startswith("_") and name in _TORCH_ATTRIBUTES:
                continue
            copies.update(_flatten(f"{path}.{name}".lstrip("."), value))
        tensors: dict[str, Tensor | None] = {**inner._buffers, **inner._parameters}
        copies |= {
            f"{path}.{name}".lstrip("."): tensor.detach().clone() for name, tensor in tensors.items() if tensor is not None
        }
    return copies


_TORCH_ATTRIBUTES = frozenset(vars(nn.Module()))


def _flatten(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the simple values inside containers, with their paths. Other objects are not compared."""
    if isinstance(value, Tensor):
        yield path, value.detach().clone()
    elif isinstance(value, dict):
        yield f"{path} (keys)", list(map(str, value))
        for key, item in value.items():
            yield from _flatten(f"{path}[{key!r}]", item)
    elif isinstance(value, list | tuple):
        yield f"{path} (length)", len(value)
        for index, item in enumerate(value):
            yield from _flatten(f"{path}[{index}]", item)
    elif isinstance(value, bool | int | float | str | set | None):
        yield path, deepcopy(value)


def changed_names(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the paths whose values differ between two snapshots."""
    return [name for name in sorted({**before, **after}) if not _equal(before.get(name), after.get(name))]


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return first.shape == second.shape and bool(torch.equal(first, second))
    return type(first) is type(second) and bool(first == second)

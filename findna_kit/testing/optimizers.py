"""Conformance checks of optimizers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from findna_kit.checkpoint import fill
from findna_kit.schedules import Clock, Constant
from findna_kit.testing.checks import abbreviate, identical, make_checks
from findna_kit.testing.experiments import component_entry, recipe_document, resume_differences
from findna_kit.trainer.optimizers import ScheduledOptimizer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from findna_kit.components.optimizer import Optimizer
    from findna_kit.testing.checks import Case
    from findna_kit.trainer.experiment import WeightedLoss

STEPS = 8
UNUSED = "student.encoder.unused.weight"
"""A parameter that never gets a gradient, like those of a layer that a recipe does not reach."""


@dataclass
class _Small:
    """As much of an experiment as an optimizer needs: matrices, vectors, a convolution, a head, and an unused parameter."""

    optimizer: Optimizer
    predictors: nn.ModuleDict = field(default_factory=nn.ModuleDict)
    losses: Mapping[str, WeightedLoss] = field(default_factory=dict)
    named: dict[str, nn.Parameter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # One of every sort that an optimizer may treat in its own way.
        shapes = {
            "student.encoder.mix.weight": (6, 4), "student.encoder.mix.bias": (6,), "student.encoder.conv.weight": (4, 3, 5),
            "student.heads.masked.output.weight": (4, 6), "heads.distill.predictor.bias": (3,), UNUSED: (2, 2),
        }  # fmt: skip
        numbers = torch.Generator().manual_seed(0)
        self.named = {name: nn.Parameter(torch.randn(shape, generator=numbers)) for name, shape in shapes.items()}

    def trainable(self) -> dict[str, nn.Parameter]:
        return self.named

    def give_gradients(self, step: int, scale: float = 1.0) -> None:
        """Set every gradient but that of the unused parameter, as a function of the step."""
        numbers = torch.Generator().manual_seed(step)
        for name, parameter in self.named.items():
            gradient = scale * torch.randn(parameter.shape, generator=numbers)
            parameter.grad = None if name == UNUSED else gradient

    def values(self) -> dict[str, Tensor]:
        """Return copies of the parameters."""
        return {name: parameter.detach().clone() for name, parameter in self.named.items()}


def _made(case: Case, **schedules: Any) -> tuple[_Small, ScheduledOptimizer]:
    """Return a small experiment and its optimizer, with constant schedules in place of those of the parameters."""
    # The default schedules warm up from 0, where the first step would move nothing.
    rates = {"learning_rate": Constant(value=0.01), "weight_decay": Constant(value=0.0), **schedules}
    experiment = _Small(case.component(case.config.model_copy(update=rates)))
    return experiment, ScheduledOptimizer(experiment)


def _step(experiment: _Small, optimizer: ScheduledOptimizer, step: int, scale: float = 1.0) -> None:
    experiment.give_gradients(step, scale)
    optimizer.step(Clock(step, STEPS))


def _changed(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    return [name for name in sorted({**before, **after}) if name not in after or not identical(before[name], after[name])]


def moves(case: Case) -> Iterator[str]:
    """Require that steps change every parameter that has a gradient, and no other one, in place and to finite values."""
    experiment, optimizer = _made(case)
    places = {name: parameter.data_ptr() for name, parameter in experiment.named.items()}
    before = experiment.values()
    # Two steps: a rule with warmed-up moments may not move in its first.
    for step in range(2):
        _step(experiment, optimizer, step)
    changed = _changed(before, experiment.values())
    if still := sorted(set(experiment.named) - {UNUSED} - set(changed)):
        yield f"two steps did not change {abbreviate(still)}, which have gradients: `build` must use every group"
    if UNUSED in changed:
        yield "a parameter without a gradient was changed; skip parameters whose `grad` is None"
    if wrong := [name for name, parameter in experiment.named.items() if not parameter.isfinite().all()]:
        yield f"after two steps {abbreviate(wrong)} are not finite"
    if other := [name for name, parameter in experiment.named.items() if parameter.data_ptr() != places[name]]:
        yield f"{abbreviate(other)} are other tensors after a step; change parameters in place"


def learning_rate(case: Case) -> Iterator[str]:
    """Require that a learning rate of 0 changes nothing, and that a larger one changes the parameters more."""
    distances = []
    for rate in (0.0, 0.001, 0.1):
        experiment, optimizer = _made(case, learning_rate=Constant(value=rate), weight_decay=Constant(value=0.1))
        before = experiment.values()
        _step(experiment, optimizer, 0)
        after = experiment.values()
        distances.append(sum(float((after[name] - before[name]).square().sum()) for name in before) ** 0.5)
    if distances[0] > 0:
        yield "a step with a learning rate of 0 changed parameters; use `lr` of the group, which the trainer sets"
    if not distances[2] > distances[1] > 0:
        yield f"a step changed parameters by {distances[1]:.2g} at a rate of 0.001 and by {distances[2]:.2g} at 0.1"


def weight_decay(case: Case) -> Iterator[str]:
    """Require that weight decay makes matrices smaller and leaves vectors alone."""
    # With a gradient of zero, nothing but the decay can move a parameter.
    experiment, optimizer = _made(case, weight_decay=Constant(value=0.5))
    before = experiment.values()
    _step(experiment, optimizer, 0, scale=0.0)
    for name, value in experiment.values().items():
        if name == UNUSED:
            continue
        if value.ndim > 1 and not value.norm() < before[name].norm():
            yield f"with a gradient of zero and a decay of 0.5, {name} did not become smaller; use `weight_decay` of its group"
        if value.ndim == 1 and not identical(value, before[name]):
            yield f"with a gradient of zero, the vector {name} was changed; its group has a decay of 0"


def state(case: Case) -> Iterator[str]:
    """Require that `initial_state` has the names, shapes and data types of the state that steps create."""
    experiment, optimizer = _made(case)
    for step in range(2):
        _step(experiment, optimizer, step)
    created = optimizer.tensors()
    if odd := sorted(name for name, value in created.items() if not isinstance(value, Tensor)):
        yield f"the state {abbreviate(odd)} is not a tensor; a checkpoint holds only tensors: torch.tensor(value)"
        return
    _, fresh = _made(case)
    initial = fresh.empty(optimizer.moved)
    # A checkpoint is restored into the initial state: a name in only one of them could not be restored.
    if other := sorted(created.keys() ^ initial.keys()):
        yield f"{abbreviate(other)} is either created by a step or returned by `initial_state`, and not both"
    shared = sorted(created.keys() & initial.keys())
    forms = {name: (initial[name].shape, initial[name].dtype) for name in shared}
    if unlike := [name for name in shared if forms[name] != (created[name].shape, created[name].dtype)]:
        yield f"`initial_state` gives {abbreviate(unlike)} another shape or data type than a step does"


def restores(case: Case) -> Iterator[str]:
    """Require that an optimizer with the restored state continues bit for bit."""
    # After one step too: some rules keep a flag for the first.
    for saved_at in (1, 3):
        experiment, optimizer = _made(case)
        for step in range(saved_at):
            _step(experiment, optimizer, step)
        other, fresh = _made(case)
        with torch.no_grad():
            for name, value in experiment.values().items():
                other.named[name].copy_(value)
        saved = {name: value.clone() for name, value in optimizer.tensors().items()}
        fill("the state", fresh.empty(optimizer.moved), saved)
        for step in range(saved_at, saved_at + 3):
            _step(experiment, optimizer, step)
            _step(other, fresh, step)
        if differing := _changed(experiment.values(), other.values()):
            yield (
                f"three steps after the state was saved and restored at step {saved_at}, {abbreviate(differing)} differ: keep "
                "everything that changes in torch's `state`, by parameter"
            )
            return


def reads_only(case: Case) -> Iterator[str]:
    """Require that reading the state, or asking for an initial one, changes nothing."""
    experiment, optimizer = _made(case)
    _step(experiment, optimizer, 0)
    parameters = experiment.values()
    before = {name: value.clone() for name, value in optimizer.tensors().items()}
    for group in optimizer.groups:
        for parameter in group.parameters:
            optimizer.rule.initial_state(parameter, group)
    after = optimizer.tensors()
    if changed := [*_changed(parameters, experiment.values()), *sorted(before.keys() ^ after.keys()), *_changed(before, after)]:
        yield f"`initial_state` changed {abbreviate(changed)}; it returns new tensors"


def resume(case: Case) -> Iterator[str]:
    """Require that an interrupted and resumed run equals an uninterrupted one, bit for bit."""
    yield from resume_differences(case, recipe_document(optimizer=component_entry(case)))


OPTIMIZER = make_checks(moves, learning_rate, weight_decay, state, restores, reads_only, resume)

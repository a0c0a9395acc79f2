"""The doors: every check of a kind, run on a component; and all that is wrong, at once."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from findna_kit.plugins.kinds import KINDS
from findna_kit.testing.checks import Case, Check, Nonconforming, config_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from findna_kit.components.interfaces import Augmentation, Encoder, Loss, Masking, TeacherUpdate
    from findna_kit.components.optimizer import Optimizer
    from findna_kit.schedules import Schedule


def checks_of(kind: str) -> tuple[Check, ...]:
    """Return the checks of a kind, in the order in which they are run; none for a kind whose entry in the table names none."""
    named = next((entry.check for entry in KINDS if entry.name == kind), "")
    if not named:
        return ()
    module, _, attribute = named.partition(":")
    checks: tuple[Check, ...] = getattr(import_module(module), attribute)
    return checks


def check_encoder(component: type[Encoder], parameters: Mapping[str, Any] | None = None) -> None:
    """Raises Nonconforming with all that is wrong with an encoder.

    parameters: as a recipe states them; None: every one of `component.examples`.
    """
    _conform("encoder", component, parameters)


def check_augmentation(component: type[Augmentation], parameters: Mapping[str, Any] | None = None) -> None:
    """Raises Nonconforming with all that is wrong with an augmentation; parameters as `check_encoder`'s."""
    _conform("augmentation", component, parameters)


def check_masking(component: type[Masking], parameters: Mapping[str, Any] | None = None) -> None:
    """Raises Nonconforming with all that is wrong with a masking; parameters as `check_encoder`'s."""
    _conform("masking", component, parameters)


def check_loss(component: type[Loss], parameters: Mapping[str, Any] | None = None, *, recipe: Sequence[str] = ()) -> None:
    """Raises Nonconforming with all that is wrong with a loss; parameters as `check_encoder`'s.

    recipe: `--set`s for the small recipe that it is tried in, where it needs other views than those that are tried.
    """
    _conform("loss", component, parameters, recipe)


def check_teacher_update(component: type[TeacherUpdate], parameters: Mapping[str, Any] | None = None) -> None:
    """Raises Nonconforming with all that is wrong with a teacher-update rule; parameters as `check_encoder`'s."""
    _conform("teacher_update", component, parameters)


def check_optimizer(component: type[Optimizer], parameters: Mapping[str, Any] | None = None) -> None:
    """Raise Nonconforming with every violation of an optimizer; parameters as those of `check_encoder`."""
    _conform("optimizer", component, parameters)


def check_schedule(component: type[Schedule], parameters: Mapping[str, Any] | None = None) -> None:
    """Raise Nonconforming with every violation of a schedule; parameters as those of `check_encoder`."""
    _conform("schedule", component, parameters)


def build_cases(
    kind: str, component: type[Any], parameters: Mapping[str, Any] | None = None, recipe: Sequence[str] = ()
) -> list[Case]:
    """The component with the parameters given, or with each of its examples: none where those are empty."""
    family = tuple(component.examples) if parameters is None else (parameters,)
    return [Case(kind, component, stated, tuple(recipe), family) for stated in family]


def planned_checks(found: Sequence[Case]) -> Iterator[tuple[Case, Check]]:
    """What there is to be run, in order."""
    for number, case in enumerate(found):
        for check in checks_of(case.kind):
            if number == 0 or not check.once:
                yield case, check


def faults_of(case: Case, check: Check) -> list[str]:
    """What one check finds wrong; parameters that the Config refuses are the only thing wrong."""
    reason = config_error(case)
    return [reason] if reason is not None else check.run(case)


def _conform(kind: str, component: type[Any], parameters: Mapping[str, Any] | None, recipe: Sequence[str] = ()) -> None:
    found = build_cases(kind, component, parameters, recipe)
    if not found:
        raise Nonconforming(
            f"{kind} {component.__qualname__} has no examples: give parameters of a small instance, as a recipe states them"
        )
    lines: list[str] = []
    for case in found:
        reason = config_error(case)
        checks = [check for one, check in planned_checks(found) if one is case and reason is None]
        wrong = [f"  {check.name}: {fault}" for check in checks for fault in check.run(case)]
        if reason is not None:
            wrong = [f"  parameters: {reason}"]
        if wrong:
            lines += [f"{kind} {case} does not conform:", *wrong]
    if lines:
        raise Nonconforming("\n".join(lines))

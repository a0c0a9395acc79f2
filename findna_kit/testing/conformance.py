"""Entry points of the conformance kit: `check_encoder` and the like run all checks of a kind and report all violations."""

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
    # Checks are imported on demand: those of one kind need a run, those of another nothing.
    module, _, attribute = named.partition(":")
    checks: tuple[Check, ...] = getattr(import_module(module), attribute)
    return checks


def check_encoder(component: type[Encoder], parameters: Mapping[str, Any] | None = None) -> None:
    """Raise Nonconforming with every violation of an encoder.

    parameters: as in a recipe; None: each of `component.examples` in turn.
    """
    _conform("encoder", component, parameters)


def check_augmentation(component: type[Augmentation], parameters: Mapping[str, Any] | None = None) -> None:
    """Raise Nonconforming with every violation of an augmentation; parameters as those of `check_encoder`."""
    _conform("augmentation", component, parameters)


def check_masking(component: type[Masking], parameters: Mapping[str, Any] | None = None) -> None:
    """Raise Nonconforming with every violation of a masking; parameters as those of `check_encoder`."""
    _conform("masking", component, parameters)


def check_loss(component: type[Loss], parameters: Mapping[str, Any] | None = None, *, recipe: Sequence[str] = ()) -> None:
    """Raise Nonconforming with every violation of a loss; parameters as those of `check_encoder`.

    recipe: `--set` overrides of the recipe in which the loss is checked, for a loss that needs other views than the default
    ones.
    """
    _conform("loss", component, parameters, recipe)


def check_teacher_update(component: type[TeacherUpdate], parameters: Mapping[str, Any] | None = None) -> None:
    """Raise Nonconforming with every violation of a teacher update; parameters as those of `check_encoder`."""
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
    """Return the component with these parameters, or with each of its examples; an empty list if it has none."""
    family = tuple(component.examples) if parameters is None else (parameters,)
    return [Case(kind, component, example, tuple(recipe), family) for example in family]


def planned_checks(cases: Sequence[Case]) -> Iterator[tuple[Case, Check]]:
    """Yield the checks to run on each case, in order."""
    for index, case in enumerate(cases):
        for check in checks_of(case.kind):
            # A check of the whole family gives the same answer for every example.
            if index == 0 or not check.once:
                yield case, check


def faults_of(case: Case, check: Check) -> list[str]:
    """Return the violations that one check finds; if the Config rejects the parameters, only that."""
    reason = config_error(case)
    return [reason] if reason is not None else check.run(case)


def _conform(kind: str, component: type[Any], parameters: Mapping[str, Any] | None, recipe: Sequence[str] = ()) -> None:
    """Run all checks of all cases; raise Nonconforming with all violations."""
    cases = build_cases(kind, component, parameters, recipe)
    if not cases:
        raise Nonconforming(
            f"{kind} {component.__qualname__} has no examples: pass the parameters of a small instance, as in a recipe"
        )
    lines: list[str] = []
    for case in cases:
        reason = config_error(case)
        # Without a valid config nothing can be built, so all checks would report the same problem.
        if reason is None:
            checks = [check for planned, check in planned_checks(cases) if planned is case]
            violations = [f"  {check.name}: {fault}" for check in checks for fault in check.run(case)]
        else:
            violations = [f"  parameters: {reason}"]
        if violations:
            lines += [f"{kind} {case} does not conform:", *violations]
    if lines:
        raise Nonconforming("\n".join(lines))

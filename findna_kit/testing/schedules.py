"""Conformance checks of schedules."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from findna_kit.recipe.component_spec import ValidationContext
from findna_kit.schedules import Clock, Schedule
from findna_kit.testing.checks import make_checks
from findna_kit.testing.experiments import NAME, read_recipe, recipe_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from findna_kit.testing.checks import Case

STEPS = 40


def _schedule(case: Case, **changes: Any) -> Schedule:
    schedule: Schedule = case.component(case.config.model_copy(update=changes), name=NAME)
    return schedule


def _values(schedule: Schedule, steps: int = STEPS) -> list[float]:
    return [schedule(Clock(step, steps)) for step in range(steps + 1)]


def finite(case: Case) -> Iterator[str]:
    """Require that it gives a finite number at every step of a run of any length, and after its last step."""
    # A run of 0 steps is validated too, and a run may be asked for the value after its last step.
    for steps in (0, 1, 7, STEPS, 10_000):
        for step in sorted({0, 1, steps // 3, steps // 2, steps, 2 * steps}):
            value = _schedule(case)(Clock(step, steps))
            if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
                yield f"at step {step} of {steps} its value is {value!r}, which is no finite number"
                return


def pure(case: Case) -> Iterator[str]:
    """Require that its value depends on the clock alone: not on the calls before, and not on their order."""
    schedule = _schedule(case)
    forward = _values(schedule)
    # A schedule that counted its calls would differ when asked from the last step to the first.
    backward = [schedule(Clock(step, STEPS)) for step in reversed(range(STEPS + 1))][::-1]
    if forward != backward or forward != _values(_schedule(case)):
        yield "called again, or in another order, it gives other values; keep no state: a resumed run would have another one"


def scales(case: Case) -> Iterator[str]:
    """Require that at the same share of the steps a longer run has the same value."""
    short, long = _values(_schedule(case), STEPS), _values(_schedule(case), 10 * STEPS)[::10]
    worst = max(range(STEPS + 1), key=lambda step: abs(short[step] - long[step]))
    if abs(short[worst] - long[worst]) > 1e-6 * max(1.0, abs(short[worst])):
        yield (
            f"at step {worst} of {STEPS} its value is {short[worst]:g}, and at step {10 * worst} of {10 * STEPS} it is "
            f"{long[worst]:g}; `value` must depend on the share of the steps"
        )


def limits(case: Case) -> Iterator[str]:
    """Require that `limits` holds every value of the curve: recipes are refused by it where a value has bounds."""
    # Without warm-up and delay, whose zero the base class adds to the range.
    schedule = _schedule(case, warmup=0.0, delay=0.0)
    low, high = schedule.limits()
    values = _values(schedule, 1000)
    slack = 1e-9 * max(1.0, *map(abs, values))
    if not (math.isfinite(low) and math.isfinite(high)):
        yield f"`limits` are {low:g} and {high:g}; declare the parameters that are values as `Level`, or override `limits`"
    if min(values) < low - slack or max(values) > high + slack:
        yield f"its values go from {min(values):g} to {max(values):g}, and `limits` are {low:g} and {high:g}; override `limits`"


def begins(case: Case) -> Iterator[str]:
    """Require that it is 0 during the delay, rises in a line during the warm-up, and then starts its curve."""
    schedule = _schedule(case, delay=0.25, warmup=0.25)
    values, start = _values(schedule), schedule.start
    expected = [0.0] * (STEPS // 4) + [start * step / (STEPS // 4) for step in range(STEPS // 4)] + [start]
    wrong = [step for step, value in enumerate(expected) if abs(values[step] - value) > 1e-6 * max(1.0, abs(start))]
    if wrong:
        step = wrong[0]
        yield (
            f"with a delay and a warm-up of a quarter each, its value at step {step} of {STEPS} is {values[step]:g} instead of "
            f"{expected[step]:g}; define `value`, and leave `__call__` to the base class"
        )


def written(case: Case) -> Iterator[str]:
    """Require that a recipe that states it is written and read again as an equal schedule."""
    _, components, _ = read_recipe(case, recipe_document())
    context, adapter = ValidationContext(components), TypeAdapter(Schedule)
    # Both forms that a recipe may use.
    for form in ({NAME: dict(case.resolved)}, {"name": NAME, **case.resolved}):
        first = adapter.validate_json(json.dumps(form), strict=True, context=context)
        text = adapter.dump_json(first)
        again = adapter.validate_json(text, strict=True, context=context)
        if again != first or _values(again) != _values(first):
            yield f"written as {text.decode()} and read again, it is another schedule; leave `plain` to the base class"


SCHEDULE = make_checks(finite, pure, scales, limits, begins, written)

"""Limits on schedules: bounds on their values, and a value of zero at the beginning."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import core_schema

from findna_kit.schedules.json_schema import bounds_schema
from findna_kit.schedules.shapes import SHAPES

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

    from findna_kit.schedules.config import Clock, ScheduleFunction
    from findna_kit.schedules.shapes import Schedule


@dataclass(frozen=True)
class _Bounds:
    """The bounds of a schedule's values, inclusive."""

    low: float
    high: float

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Return the schedule's schema, followed by the check of the bounds."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schedule's JSON Schema together with the bounds."""
        configs = {name: shape.Config for name, shape in SHAPES.items()}
        return {"allOf": [handler(schema), bounds_schema(self.low, self.high, configs)]}

    def _check(self, schedule: Schedule) -> Schedule:
        low, high = self.low, self.high
        # The range is known without a run: a recipe that leaves the bounds at any step is refused before it starts.
        smallest, largest = schedule.range
        if smallest < low or largest > high:
            bounds = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
            # `limits` leaves out the zero of a delay or warm-up. If the curve itself fits, that zero is what breaks the bounds.
            curve = schedule.limits()
            zero = ", and a warm-up or a delay begins at 0" if curve[0] >= low and curve[1] <= high else ""
            raise ValueError(f"must be {bounds} at every step{zero}")
        return schedule


def within(low: float = -math.inf, high: float = math.inf) -> _Bounds:
    """Return the bounds that `Annotated[Schedule, ...]` takes; every value of the schedule must lie within them."""
    return _Bounds(low, high)


def zero_until(share: float, schedule: ScheduleFunction) -> ScheduleFunction:
    """Return `schedule` with the value 0 over the first `share` of the steps; unlike a delay, the rest is not moved."""

    def gated(clock: Clock) -> float:
        return 0.0 if clock.step < share * clock.steps else schedule(clock)

    return gated

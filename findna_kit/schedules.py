"""Schedules: pure functions of the clock. There is nothing to step, save or restore."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_serializer
from pydantic_core import core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue


@dataclass(frozen=True)
class Clock:
    """The only clock: `step` optimizer steps are done, of `steps`."""

    step: int
    steps: int


class _Ramp(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    start: float = Field(allow_inf_nan=False, description="value after the warm-up")
    end: float = Field(allow_inf_nan=False, description="value at the last step")
    warmup: float = Field(0.0, ge=0.0, lt=1.0, description="share of the steps over which the value rises from 0 to start")

    def _progress(self, clock: Clock) -> tuple[float, bool]:
        """How far through the warm-up, or through what follows it; True while warming up."""
        warm = self.warmup * clock.steps
        if clock.step < warm:
            return clock.step / warm, True
        return min(1.0, (clock.step - warm) / max(clock.steps - warm, 1e-9)), False


class Cosine(_Ramp):
    """Half a cosine from `start` to `end`: `end + (start - end) (1 + cos(pi t)) / 2` (as DINO's, Caron et al. 2021)."""

    def __call__(self, clock: Clock) -> float:
        """The value at this step."""
        share, warming = self._progress(clock)
        return self.start * share if warming else self.end + (self.start - self.end) * (1 + math.cos(math.pi * share)) / 2


class Linear(_Ramp):
    """A straight line from `start` to `end`."""

    def __call__(self, clock: Clock) -> float:
        """The value at this step."""
        share, warming = self._progress(clock)
        return self.start * share if warming else self.start + (self.end - self.start) * share


_FORMS: dict[str, type[_Ramp]] = {"cosine": Cosine, "linear": Linear}


class ScheduleValue(BaseModel):
    """A number, or one of the forms below."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    constant: float | None = None
    cosine: Cosine | None = None
    linear: Linear | None = None

    def __call__(self, clock: Clock) -> float:
        """The value at this step."""
        form = self.cosine or self.linear
        return form(clock) if form is not None else float(self.constant or 0.0)

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and largest value it takes, the 0 that a warm-up begins with included."""
        form = self.cosine or self.linear
        if form is None:
            return (float(self.constant or 0.0),) * 2
        values = (form.start, form.end, *([0.0] if form.warmup else []))
        return min(values), max(values)

    @model_serializer
    def _plain(self) -> Any:
        for name in _FORMS:
            form = getattr(self, name)
            if form is not None:
                return {name: form.model_dump()}
        return self.constant

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """What a recipe may state: never `constant`, which is how a number is kept."""
        reference = handler(schema)
        stated: list[JsonSchemaValue] = [{"type": "number"}]
        for name, form in _FORMS.items():
            properties = {name: handler(form.__pydantic_core_schema__)}
            stated.append({"type": "object", "properties": properties, "required": [name], "additionalProperties": False})
        definition = handler.resolve_ref_schema(reference)
        definition.clear()
        definition |= {"description": cls.__doc__, "anyOf": stated}
        return reference


def _read(value: Any) -> Any:
    if isinstance(value, (bool, str)) or value is None:
        raise ValueError("a number, or {cosine | linear: {start, end, warmup}}, is wanted")
    if isinstance(value, (int, float)):
        if not math.isfinite(value):
            raise ValueError("a finite number is wanted")
        return ScheduleValue(constant=float(value))
    if isinstance(value, dict) and len(value) != 1:
        raise ValueError("exactly one of cosine, linear is wanted")
    if isinstance(value, dict) and next(iter(value)) not in _FORMS:
        raise ValueError(f"no schedule is called {next(iter(value))!r}; known: cosine, linear")
    if isinstance(value, dict) and None in value.values():
        raise ValueError(f"{next(iter(value))} wants {{start, end, warmup}} (got null)")
    return value


Schedule = Annotated[ScheduleValue, BeforeValidator(_read)]
"""The type of a field that takes a number or a schedule; a default is a `ScheduleValue`."""


@dataclass(frozen=True)
class _Bounds:
    """Keeps a schedule between two values, which it may reach."""

    low: float
    high: float

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """The schedule's own, and then the bounds."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schedule's own, and beside it the bounds of a number and of the ends of a form."""
        named = {"minimum": self.low, "maximum": self.high}
        bounds = {key: value for key, value in named.items() if math.isfinite(value)}
        ramp: JsonSchemaValue = {"start": bounds, "end": bounds}
        if not self.low <= 0 <= self.high:
            ramp["warmup"] = {"maximum": 0}  # it begins at 0
        forms = {name: {"properties": ramp} for name in _FORMS}
        return {"allOf": [handler(schema), {**bounds, "properties": forms}]}

    def _check(self, schedule: ScheduleValue) -> ScheduleValue:
        low, high = self.low, self.high
        smallest, largest = schedule.ends
        if smallest < low or largest > high:
            bounds = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
            warming = ", and a warm-up begins at 0" if low > smallest == 0 and schedule.constant is None else ""
            raise ValueError(f"must be {bounds} at every step{warming}")
        return schedule


def within(low: float = -math.inf, high: float = math.inf) -> _Bounds:
    """What `Annotated[Schedule, ...]` takes, to keep the schedule between two bounds."""
    return _Bounds(low, high)

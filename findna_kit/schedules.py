"""Schedules: pure functions of the clock. There is nothing to step, save or restore."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_serializer


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


class _Schedule(BaseModel):
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
        for name in ("cosine", "linear"):
            form = getattr(self, name)
            if form is not None:
                return {name: form.model_dump()}
        return self.constant


def _read(value: Any) -> Any:
    if isinstance(value, (bool, str)) or value is None:
        raise ValueError("a number, or {cosine | linear: {start, end, warmup}}, is wanted")
    if isinstance(value, (int, float)):
        if not math.isfinite(value):
            raise ValueError("a finite number is wanted")
        return _Schedule(constant=float(value))
    if isinstance(value, dict) and len(value) != 1:
        raise ValueError("exactly one of cosine, linear is wanted")
    if isinstance(value, dict) and next(iter(value)) not in ("cosine", "linear"):
        raise ValueError(f"no schedule is called {next(iter(value))!r}; known: cosine, linear")
    return value


Schedule = Annotated[_Schedule, BeforeValidator(_read)]


def within(low: float = -math.inf, high: float = math.inf) -> AfterValidator:
    """Keeps a schedule between two bounds, which it may reach."""

    def check(schedule: _Schedule) -> _Schedule:
        smallest, largest = schedule.ends
        if smallest < low or largest > high:
            bounds = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
            warming = ", and a warm-up begins at 0" if low > smallest == 0 and schedule.constant is None else ""
            raise ValueError(f"must be {bounds} at every step{warming}")
        return schedule

    return AfterValidator(check)

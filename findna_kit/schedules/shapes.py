"""The base class of schedules, its reading from a recipe, and the shapes that come with the kit."""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from findna_kit.component_config import ComponentConfig, Examples
from findna_kit.errors import ComponentClash, UnknownComponent, nearest
from findna_kit.schedules.config import Clock, Level, ScheduleConfig
from findna_kit.schedules.json_schema import schedule_schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
    from pydantic.json_schema import JsonSchemaValue

UNKNOWN_KEY = "unknown_schedule_key"
"""Type of the pydantic error for a parameter that a schedule does not have; `ctx["known"]` lists those it has."""


class Schedule(ABC):
    """A value that follows the training step: zero during the delay, a linear rise during the warm-up, then the shape's curve.

    A shape defines `value`. It declares the parameters that are values of the curve as `Level`: their smallest and largest
    bound the curve, which is what `within` checks. Override `limits` where the curve goes beyond them.
    """

    Config: ClassVar[type[ScheduleConfig]]
    examples: ClassVar[Examples] = ({},)

    def __init__(self, config: Any = None, *, name: str | None = None, **parameters: Any) -> None:
        self.config: Any = config if config is not None else self.Config(**parameters)
        self.name = name or _snake_case(type(self).__name__)

    @abstractmethod
    def value(self, progress: float) -> float:
        """Return the value at `progress`, the share of the steps done since the end of the warm-up, in [0, 1]."""

    @property
    def start(self) -> float:
        """Return the value that the warm-up rises to."""
        return self.value(0.0)

    def limits(self) -> tuple[float, float]:
        """Return the smallest and the largest value of the curve; zero during delay and warm-up is not counted."""
        # Without a level nothing is known of the curve. Infinite limits then make every finite bound refuse the schedule.
        values = [getattr(self.config, name) for name in type(self.config).levels()]
        levels = [float(value) for value in values if value is not None]
        return (min(levels), max(levels)) if levels else (-math.inf, math.inf)

    @property
    def range(self) -> tuple[float, float]:
        """Return the smallest and the largest value at any step, including the zero of a delay or of a warm-up."""
        low, high = self.limits()
        # Before the curve begins the value is 0, which counts towards bounds as well.
        starts_at_zero = bool(self.config.warmup or self.config.delay)
        return (min(low, 0.0), max(high, 0.0)) if starts_at_zero else (low, high)

    def __call__(self, clock: Clock) -> float:
        """Return the value at this step."""
        config: ScheduleConfig = self.config
        begin, warm = config.delay * clock.steps, config.warmup * clock.steps
        step = clock.step - begin
        if step < 0:
            return 0.0
        if step < warm:
            return self.start * (step / warm)
        # With no steps left after the warm-up (a run of 0 steps), the value is the first one.
        return self.value(min(1.0, (step - warm) / max(clock.steps - begin - warm, 1e-9)))

    def plain(self) -> Any:
        """Return the schedule as a recipe states it: `{name: parameters}`.

        A delay of 0 is left out, so that recipes resolved before there were delays stay the same text.
        """
        parameters = self.config.model_dump(mode="json")
        if parameters["delay"] == 0:
            del parameters["delay"]
        return {self.name: parameters}

    def __eq__(self, other: object) -> bool:
        """Return whether both are of one shape, with equal parameters."""
        return type(self) is type(other) and isinstance(other, Schedule) and self.config == other.config

    def __hash__(self) -> int:
        """Return a hash of the shape and its parameters."""
        # Python drops the hash of a class that defines __eq__, and a frozen Config is hashed with the schedules in it.
        return hash((type(self), self.config))

    def __repr__(self) -> str:
        """Return the schedule as it is constructed."""
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.config)})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Return a schema that reads every form of a schedule and writes `plain`."""
        return core_schema.with_info_plain_validator_function(
            _read,
            ref=f"{Schedule.__module__}.{Schedule.__qualname__}:{id(Schedule)}",  # named once in a JSON Schema
            serialization=core_schema.plain_serializer_function_ser_schema(lambda schedule: schedule.plain()),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the JSON Schema of this module's shapes; a recipe's schema replaces it by one of all registered shapes."""
        return schedule_schema({name: shape.parameters_schema() for name, shape in SHAPES.items()})

    @classmethod
    def parameters_schema(cls) -> JsonSchemaValue:
        """Return the JSON Schema of the parameters, described by the shape."""
        return {**cls.Config.model_json_schema(), "description": (cls.__doc__ or "").strip().partition("\n")[0]}


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Constant(Schedule):
    """The same value at every step after the delay and the warm-up."""

    class Config(ScheduleConfig):
        """The value."""

        value: Level = Field(description="the value")

    examples = ({"value": 0.3}, {"value": 2.0, "warmup": 0.2}, {"value": -1.0, "delay": 0.5})

    def value(self, progress: float) -> float:
        """Return the value."""
        return float(self.config.value)

    def plain(self) -> Any:
        """Return a bare number where there is neither a delay nor a warm-up."""
        plain = super().plain()
        return self.config.value if not (self.config.warmup or self.config.delay) else plain


class _Ends(ComponentConfig):
    start: Level = Field(description="value after the warm-up")
    end: Level = Field(description="value at the last step")


# pydantic lists the fields of later bases first: start, end, warmup, delay, which is the order that recipes were written in.
class _RampConfig(ScheduleConfig, _Ends):
    """From where to where, and when it arrives."""

    until: float = Field(1.0, gt=0.0, le=1.0, description="share of the steps after which the value stays at end")

    @model_validator(mode="after")
    def _arrives_after_it_begins(self) -> Self:
        if self.until <= self.delay + self.warmup:
            raise ValueError("until must be above the sum of delay and warmup: the curve lies between them")
        return self


class _Ramp(Schedule):
    """A curve from `start` to `end`."""

    Config: ClassVar[type[ScheduleConfig]] = _RampConfig
    examples: ClassVar[Examples] = (
        {"start": 1.0, "end": 0.0}, {"start": 0.2, "end": 0.9, "warmup": 0.3}, {"start": 1, "end": 2, "delay": 0.25},
        {"start": 0.04, "end": 0.07, "until": 0.3},
    )  # fmt: skip

    @property
    def start(self) -> float:
        """Return the value after the warm-up, free of the curve's rounding."""
        return float(self.config.start)

    def travelled(self, progress: float) -> float:
        """Return the share of the curve that is done at `progress`: 1 after `until`."""
        # `until` is a share of all steps, `progress` of those after the warm-up.
        begin = self.config.delay + self.config.warmup
        return min(1.0, progress * float((1 - begin) / (self.config.until - begin)))

    def plain(self) -> Any:
        """Return the schedule as a recipe states it; `until` is left out where it is 1, as in recipes resolved before it."""
        plain = super().plain()
        if plain[self.name].get("until") == 1:
            del plain[self.name]["until"]
        return plain


class Cosine(_Ramp):
    """Half a cosine from `start` to `end`: `end + (start - end) (1 + cos(pi t)) / 2` (as DINO's, Caron et al. 2021)."""

    def value(self, progress: float) -> float:
        """Return the value at `progress`."""
        start, end = self.config.start, self.config.end
        return float(end + (start - end) * (1 + math.cos(math.pi * self.travelled(progress))) / 2)


class Linear(_Ramp):
    """A straight line from `start` to `end`."""

    def value(self, progress: float) -> float:
        """Return the value at `progress`."""
        start, end = self.config.start, self.config.end
        return float(start + (end - start) * self.travelled(progress))


class _Decay(_Ends):
    decay: float = Field(0.1, gt=0.0, le=1.0, description="share of the steps, the last ones, over which it falls to end")


class WarmupStableDecay(_Ramp):
    """Warm-up, then `start` until the last `decay` of the steps, then a straight line to `end` (WSD, Hu et al. 2024, MiniCPM).

    The paper leaves the form of the decay open and finds a tenth of the steps to be enough for it.
    """

    class Config(ScheduleConfig, _Decay):
        """The stable value, the last one, and how long the decay takes."""

        @model_validator(mode="after")
        def _fits(self) -> Self:
            # The tolerance is for rounding: decimal shares that add up to 1 may give slightly more in binary.
            if self.delay + self.warmup + self.decay > 1 + 1e-9:
                raise ValueError("delay, warmup and decay are shares of the same steps: their sum must be at most 1")
            return self

    examples: ClassVar[Examples] = ({"start": 1.0, "end": 0.0}, {"start": 2.0, "end": 0.5, "warmup": 0.1, "decay": 0.4})

    def __init__(self, config: Any = None, *, name: str = "wsd", **parameters: Any) -> None:
        super().__init__(config, name=name, **parameters)

    def value(self, progress: float) -> float:
        """Return the value at `progress`."""
        start, end = self.config.start, self.config.end
        # `decay` is a share of all steps, `progress` of those after the warm-up.
        decay = self.config.decay / (1 - self.config.delay - self.config.warmup)
        return float(start + (end - start) * max(0.0, progress - (1 - decay)) / decay)


SHAPES: Mapping[str, type[Schedule]] = {"constant": Constant, "cosine": Cosine, "linear": Linear, "wsd": WarmupStableDecay}
"""The shapes of this module by name. They are known without a registry, because defaults in a `Config` are made of them."""


def _read(value: Any, info: ValidationInfo) -> Schedule:
    """Return the schedule that a recipe, or Python code, states. Raise ValueError or ValidationError where it is none."""
    if isinstance(value, Schedule):
        return value
    # A recipe passes the registry; Python code that builds a Config has none, and gets the shapes of this module.
    known: Mapping[str, type[Schedule]] = getattr(info.context, "schedules", SHAPES)
    # In Python a bool is an int, but `true` in a recipe is no number.
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ValueError("expected a finite number")
        return Constant(value=float(value))
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        return _built(value["name"], {key: item for key, item in value.items() if key != "name"}, known, ())
    if not isinstance(value, dict):
        raise ValueError(f"expected a number, or {{{' | '.join(known)}: {{parameters}}}}")
    if len(value) != 1:
        raise ValueError(f"expected exactly one of {', '.join(known)}")
    ((name, parameters),) = value.items()
    return _built(name, parameters, known, (name,))


def _built(name: str, parameters: Any, known: Mapping[str, type[Schedule]], path: tuple[str, ...]) -> Schedule:
    """Return the schedule `name`. Errors of its parameters are located below `path`."""
    try:
        shape = known[name]
    except ComponentClash as error:
        raise ValueError(str(error)) from error
    except (KeyError, UnknownComponent) as error:
        raise ValueError(f"no schedule is called {name!r}{nearest(name, known)} (known: {', '.join(known)})") from error
    fields = list(shape.Config.model_fields)
    if not isinstance(parameters, dict):
        raise ValueError(f"{name} takes {{{', '.join(fields)}}} (got {'null' if parameters is None else repr(parameters)})")
    try:
        # Read as JSON in strict mode, like every other part of a recipe: "1" and true are not numbers.
        config = shape.Config.model_validate_json(json.dumps(parameters), strict=True)
    except ValidationError as error:
        _raise_below(path, error, fields)
    return shape(config, name=name)


def _raise_below(path: tuple[str, ...], error: ValidationError, known: Sequence[str]) -> NoReturn:
    """Raise the errors of a schedule's parameters again, located below `path`."""
    details = []
    for one in error.errors(include_url=False):
        # The known keys go along: from outside, pydantic's error gives no way to this schedule's Config.
        kind: str | PydanticCustomError = one["type"]
        if kind == "extra_forbidden" and len(one["loc"]) == 1:
            kind = PydanticCustomError(UNKNOWN_KEY, "unknown key", {"known": list(known)})
        context = {} if isinstance(kind, PydanticCustomError) else one.get("ctx", {})
        details.append(InitErrorDetails(type=kind, loc=(*path, *one["loc"]), input=one["input"], ctx=context))
    raise ValidationError.from_exception_data(error.title, details) from error

"""The training clock, and the parameters that every schedule has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Self, Union, get_args, get_origin

from pydantic import Field, model_validator

from findna_kit.component_config import ComponentConfig

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class Clock:
    """The only clock: `step` optimizer steps out of `steps` are done."""

    step: int
    steps: int


ScheduleFunction = Callable[[Clock], float]
"""What the trainer needs of a schedule. Every `Schedule` is one."""


@dataclass(frozen=True)
class _IsLevel:
    """Marker of a `Config` field that holds a value of the schedule, as opposed to a share of the steps."""


Level = Annotated[float, Field(allow_inf_nan=False), _IsLevel()]
"""Type of a parameter that is a value of the schedule. The levels bound the schedule, unless it overrides `limits`."""


class ScheduleConfig(ComponentConfig):
    """Parameters that every schedule has."""

    warmup: float = Field(0.0, ge=0.0, lt=1.0, description="share of the steps over which the value rises from 0 to start")
    delay: float = Field(0.0, ge=0.0, lt=1.0, description="share of the steps before it begins; the value is 0 until then")

    @model_validator(mode="after")
    def _leaves_steps(self) -> Self:
        # The curve is stretched over the rest of the steps, so there must be some.
        if self.delay + self.warmup >= 1:
            raise ValueError("delay and warmup must leave some of the steps: their sum must be less than 1")
        return self

    @classmethod
    def levels(cls) -> tuple[str, ...]:
        """Return the names of the fields that are a `Level`, or may be one (`Level | None`)."""
        return tuple(name for name, info in cls.model_fields.items() if _is_level(info))


def _is_level(info: FieldInfo) -> bool:
    return any(isinstance(mark, _IsLevel) for mark in info.metadata) or _holds_level(info.annotation)


def _holds_level(annotation: object) -> bool:
    """Return whether a type is a `Level`, also as a member of a union such as `Level | None`."""
    if get_origin(annotation) not in (Annotated, Union, UnionType):
        return False
    return any(isinstance(part, _IsLevel) or _holds_level(part) for part in get_args(annotation))

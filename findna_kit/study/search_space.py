"""What a study may search for before its cells are run: a space of values, and the held-out metric that chooses among them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from findna_kit.errors import FindnaError
from findna_kit.records.selection import Criterion, criterion
from findna_kit.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

_HELD_OUT = ("held_out/", "held_out_plain/", "collapse/")
TOGETHER = 4


class Range(Settings):
    """Values that a recipe path may take: a range of numbers, or a list of anything."""

    low: float | None = Field(None, description="the least; it may be taken")
    high: float | None = Field(None, description="the greatest; it may be taken")
    log: bool = Field(False, description="as likely between 1 and 10 as between 10 and 100")
    integer: bool = Field(False, description="whole numbers alone")
    choices: tuple[Any, ...] | None = Field(None, min_length=2, description="or these, whatever a recipe may hold there")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.choices is not None:
            if not (self.low is self.high is None) or self.log or self.integer:
                raise ValueError("choices are all that there is to choose from; leave the rest out")
            return self
        if self.low is None or self.high is None:
            raise ValueError("low and high are wanted, or choices")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low must be less than high (got {self.low:g} and {self.high:g})")
        if self.log and self.low <= 0:
            raise ValueError(f"log: low must be greater than 0 (got {self.low:g})")
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"integer: low and high must be whole numbers (got {self.low:g} and {self.high:g})")
        return self

    def value(self, drawn: float) -> Any:
        """What a recipe gets of what was drawn: a number of the range, or the place of a choice."""
        if self.choices is not None:
            return self.choices[int(drawn)]
        return int(drawn) if self.integer else float(drawn)

    @property
    def middle(self) -> float:
        """Something that could be drawn, for who looks whether recipes are good with it."""
        if self.choices is not None:
            return 0
        low, high = self.low or 0.0, self.high or 0.0
        middle = math.sqrt(low * high) if self.log else (low + high) / 2
        return math.floor(middle) if self.integer else middle


class Search(Settings):
    """Values that every condition gets, chosen before the first cell by trainings of the first condition with a seed apart."""

    metric: str = Field(description="of held-out windows, as in metrics.jsonl; never a test score")
    direction: Literal["minimise", "maximise"] | None = Field(None, description="where the metric does not say which is better")
    sampler: Literal["tpe", "random", "grid"] = Field(
        "tpe", description="tpe: where good ones lie so far; random: anywhere; grid: every combination of choices"
    )
    trials: int | None = Field(None, gt=0, description="how many; a grid has as many as there are combinations")
    seed: int = Field(ge=0, lt=2**63, description="of every trial, none of the study's; and of the proposals")
    together: int = Field(TOGETHER, gt=0, description="trials that are proposed at once, before the first of them is told")
    space: dict[str, Range] = Field(min_length=1, description="by recipe path")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.metric.startswith(_HELD_OUT):
            raise ValueError(f"metric: {self._refused()}")
        try:
            _ = self.by
        except FindnaError as error:
            raise ValueError(f"metric: {error}") from error
        if other := [path for path in self.space if _measures(self.metric, path.split("."))]:
            raise ValueError(
                f"space: {other[0]} changes what {self.metric} is measured on or in, and its values could not be compared by it"
            )
        if "steps" in self.space:
            raise ValueError("space: steps are what a trial costs, for all the same; leave them out")
        if self.sampler == "grid":
            if ranges := [path for path, one in self.space.items() if one.choices is None]:
                raise ValueError(f"space: a grid is of choices, and {ranges[0]} has none")
            if self.trials is not None:
                raise ValueError(f"trials: a grid has as many as there are combinations, {self.count}; leave it out")
        elif self.trials is None:
            raise ValueError(f"trials: missing; {self.sampler} goes on for as many as are asked for")
        return self

    def _refused(self) -> str:
        """Why a metric that is not of held-out windows chooses nothing."""
        try:
            criterion(self.metric, True)
        except FindnaError as error:
            return str(error)
        return f"{self.metric}: trials are not scored on tasks; take one of held-out windows, as held_out/LABEL/loss"

    @property
    def by(self) -> Criterion:
        """What chooses."""
        return criterion(self.metric, None if self.direction is None else self.direction == "maximise")

    @property
    def count(self) -> int:
        """How many trials there are."""
        return self.trials or math.prod(len(one.choices or ()) for one in self.space.values())

    @property
    def batch(self) -> int:
        """How many are proposed at once; what does not look at earlier ones is proposed all at once."""
        return self.together if self.sampler == "tpe" else self.count

    def values(self, drawn: Mapping[str, float]) -> dict[str, Any]:
        """By recipe path, of what was drawn."""
        return {path: one.value(drawn[path]) for path, one in self.space.items()}

    @property
    def middle(self) -> dict[str, Any]:
        """Values that could be drawn."""
        return self.values({path: one.middle for path, one in self.space.items()})


def _measures(metric: str, parts: list[str]) -> bool:
    """Whether a recipe path decides what a metric is of: the held-out windows, what is masked of them, the loss's own scale."""
    kind, label, *_ = metric.split("/")
    first, second, third = [*parts, "", ""][:3]
    if first == "data":
        return second != "batch_size"
    if first == "trainer":
        return second in ("", "validation_windows")
    if first == "losses":
        return kind != "collapse" and second in ("", label) and third != "weight"
    if first == "views":
        return kind == "held_out" or (kind == "held_out_plain" and (not second or third in ("", "mask", "length", "count")))
    return False

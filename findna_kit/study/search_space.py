"""Schema of a study's hyperparameter search: the space of values, the sampler, and the validation metric that is optimised."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from findna_kit.errors import FindnaError
from findna_kit.metrics.names import VALIDATION_SPLIT, MetricKind, parse
from findna_kit.records.selection import Criterion, criterion
from findna_kit.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS = (MetricKind.VALIDATION, MetricKind.PLAIN_VALIDATION, MetricKind.COLLAPSE)
"""What a metric to be optimised may be measured on."""
DEFAULT_BATCH = 4
"""Trials that are proposed together, by default."""
Level = dict[str, Any]
"""Recipe paths and their values, which may be anything that YAML can hold."""


class SearchRange(Settings):
    """Values that a recipe path may take: a range of numbers, or a list of choices of any type."""

    low: float | None = Field(None, description="smallest value (included)")
    high: float | None = Field(None, description="largest value (included)")
    log: bool = Field(False, description="sample on a logarithmic scale: 1 to 10 is as likely as 10 to 100")
    integer: bool = Field(False, description="integers only")
    choices: tuple[Any, ...] | None = Field(
        None,
        min_length=2,
        description="instead of a range: the values to choose from, of any type that the recipe allows there",
    )

    @model_validator(mode="after")
    def _range_or_choices(self) -> Self:
        if self.choices is not None:
            if not (self.low is self.high is None) or self.log or self.integer:
                raise ValueError("choices cannot be combined with low, high, log or integer; leave those out")
            return self
        if self.low is None or self.high is None:
            raise ValueError("needs low and high, or choices")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low must be less than high (got {self.low:g} and {self.high:g})")
        if self.log and self.low <= 0:
            raise ValueError(f"log: low must be greater than 0 (got {self.low:g})")
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"integer: low and high must be integers (got {self.low:g} and {self.high:g})")
        return self

    def value(self, sampled: float) -> Any:
        """Return the recipe's value for a sampled number, which is a number of the range or the index of a choice."""
        if self.choices is not None:
            return self.choices[int(sampled)]
        return int(sampled) if self.integer else float(sampled)

    @property
    def midpoint(self) -> float:
        """Return a number that could be sampled, to validate recipes with before the search."""
        if self.choices is not None:
            return 0
        low, high = self.low or 0.0, self.high or 0.0  # never None without choices; for the type checker
        # The middle of a logarithmic scale is the geometric mean. Both bounds of an integer range are integers, so the
        # floor of the middle stays inside the range.
        middle = math.sqrt(low * high) if self.log else (low + high) / 2
        return math.floor(middle) if self.integer else middle


class Search(Settings):
    """Hyperparameter search before the first cell.

    Its trials train the first condition with a separate seed; the best values go to every condition.
    """

    metric: str = Field(description="metric on the validation split, as in metrics.jsonl; never a test score")
    direction: Literal["minimise", "maximise"] | None = Field(
        None, description="needed only where the metric does not imply it"
    )
    sampler: Literal["tpe", "random", "grid"] = Field(
        "tpe", description="tpe: close to good values so far; random: uniformly; grid: every combination of choices"
    )
    trials: int | None = Field(None, gt=0, description="number of trials; for a grid it is the number of combinations")
    seed: int = Field(ge=0, lt=2**63, description="seed of all trials and of the sampler; not one of the study's seeds")
    together: int = Field(DEFAULT_BATCH, gt=0, description="trials proposed together, before the sampler gets their results")
    space: dict[str, SearchRange] = Field(min_length=1, description="ranges or choices by recipe path")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if parse(self.metric).kind not in _KINDS:
            raise ValueError(f"metric: {self._metric_refusal()}")
        try:
            _ = self.criterion
        except FindnaError as error:
            raise ValueError(f"metric: {error}") from error
        if incomparable := [path for path in self.space if _changes_metric(self.metric, path.split("."))]:
            raise ValueError(
                f"space: {incomparable[0]} changes the data or the scale of {self.metric}, which makes trials incomparable"
            )
        # More steps almost always give a better metric, so a search for them would only choose the longest training.
        if "steps" in self.space:
            raise ValueError("space: all trials must have the same number of steps; leave steps out")
        if self.sampler == "grid":
            if ranges := [path for path, values in self.space.items() if values.choices is None]:
                raise ValueError(f"space: a grid needs choices, and {ranges[0]} has none")
            if self.trials is not None:
                raise ValueError(f"trials: a grid has one trial for each of its {self.count} combinations; leave trials out")
        elif self.trials is None:
            raise ValueError(f"trials: missing; the sampler {self.sampler} needs the number of trials")
        return self

    def _metric_refusal(self) -> str:
        """Return why a metric that is not on the validation split cannot be optimised."""
        if self.metric.startswith(VALIDATION_SPLIT):
            forms = "held_out/LABEL/METRIC, held_out_plain/LABEL/METRIC/BRANCH or collapse/BRANCH/SIGNAL"
            return f"{self.metric}: no metric has a name of this form; write {forms}"
        try:
            criterion(self.metric, True)
        except FindnaError as error:
            return str(error)
        return (
            f"{self.metric}: trials are not scored on tasks; take a metric on the validation split, such as held_out/LABEL/loss"
        )

    @property
    def criterion(self) -> Criterion:
        """Return the metric with its direction."""
        return criterion(self.metric, None if self.direction is None else self.direction == "maximise")

    @property
    def count(self) -> int:
        """Return the number of trials."""
        return self.trials or math.prod(len(values.choices or ()) for values in self.space.values())

    @property
    def batch(self) -> int:
        """Return how many trials are proposed together: all, for samplers that do not use earlier results."""
        return self.together if self.sampler == "tpe" else self.count

    def values(self, sampled: Mapping[str, float]) -> Level:
        """Return the recipe's values, by path, for sampled numbers."""
        return {path: values.value(sampled[path]) for path, values in self.space.items()}

    @property
    def midpoint(self) -> Level:
        """Return values that could be sampled, by recipe path."""
        return self.values({path: values.midpoint for path, values in self.space.items()})


def _changes_metric(metric: str, keys: list[str]) -> bool:
    """Return whether a recipe path changes a metric's validation windows, their masked positions, or the loss's scale."""
    # Validation losses use the training views, plain ones only their mask, and collapse signals neither.
    parsed = parse(metric)
    kind, label = parsed.kind, parsed.source
    first, second, third = [*keys, "", ""][:3]
    if first == "data":
        return second != "batch_size"  # everything else decides which windows there are
    if first == "trainer":
        return second in ("", "validation_windows")
    if first == "losses":
        # A weight scales the gradient, not the recorded metric.
        return kind is not MetricKind.COLLAPSE and second in ("", label) and third != "weight"
    if first == "views":
        plain = kind is MetricKind.PLAIN_VALIDATION
        return kind is MetricKind.VALIDATION or (plain and (not second or third in ("", "mask", "length", "count")))
    return False

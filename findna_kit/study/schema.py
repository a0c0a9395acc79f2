"""Schema of a study file: a base recipe, factors with labelled levels, a design, seeds, tasks and the one declared metric."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from findna_kit.errors import nearest
from findna_kit.evaluation.protocol_table import OPTIONS
from findna_kit.evaluation.scores import SCORES
from findna_kit.recipe.component_spec import refusal_of
from findna_kit.recipe.error_messages import Issue
from findna_kit.recipe.schema import Label  # noqa: TC001 - pydantic reads it
from findna_kit.settings import Settings
from findna_kit.study.search_space import Level, Search  # noqa: TC001 - pydantic reads it

if TYPE_CHECKING:
    from collections.abc import Mapping

    from findna_kit.recipe import Recipe

Design = Literal["one_at_a_time", "leave_one_out", "factorial"]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
PROTOCOLS = tuple(name for name in OPTIONS if name != "few_shot")
"""Protocols that give one score. few_shot gives one for each number of shots, so no study can be judged by it."""
_SET_BY_STUDY = {
    "name": "each run is named after its condition",
    "seed": "the study's `seeds` set it, the same for every condition",
    "evaluation": "the study's `tasks` and `metric` set it, the same for every condition",
    "base": "a base belongs in the recipe's file",
}
"""Recipe keys that a study sets itself, and why."""
_MAX_CONDITION_LENGTH = 200
"""Characters in a condition's name, which becomes a folder name; file systems allow 255 bytes."""


class Budget(Settings):
    """Budget of each cell. It is converted to a number of steps before the first cell starts."""

    steps: int | None = Field(None, gt=0, description="optimizer steps")
    tokens: int | None = Field(
        None, gt=0, description="nucleotides sampled from the genome: number of windows times their length"
    )
    flops: float | None = Field(None, gt=0, allow_inf_nan=False, description="floating-point operations, as `plan` counts them")
    seconds: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="seconds of training, as measured on this machine"
    )

    @model_validator(mode="after")
    def _has_one_unit(self) -> Self:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError(f"give exactly one of {', '.join(type(self).model_fields)}")
        return self

    @property
    def measured(self) -> bool:
        """Return whether the number of steps depends on a measurement of every condition."""
        return self.flops is not None or self.seconds is not None


class Study(Settings):
    """A study, as `ablate` runs it. The first level of a factor is its reference."""

    name: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$", description="name of the study")
    recipe: str = Field(description="path or shipped name of the recipe that all cells start from")
    overrides: Level = Field({}, description="recipe paths and their values, for every cell; null drops a key")
    factors: dict[Label, dict[Label, Level]] = Field(
        min_length=1,
        description="factors by label: maps of labelled levels, each a map of recipe paths to values; null drops a key",
    )
    design: Design = Field(
        "one_at_a_time",
        description="one_at_a_time: the reference, and each other level by itself; leave_one_out: the last level of every "
        "factor, and each factor in turn set back to its reference; factorial: every combination of levels",
    )
    seeds: Annotated[int, Field(gt=0)] | Annotated[tuple[Seed, ...], Field(min_length=1)] = Field(
        description="number of seeds (0, 1, ...), or a list of seeds"
    )
    budget: Budget | None = Field(None, description="budget of each cell; null: the recipe's own steps")
    tasks: tuple[str, ...] = Field(min_length=1, description="builtin, or paths of labelled tasks")
    metric: str = Field(description="the metric that the study is judged by, as protocol/score: probe/mcc, knn/accuracy, ...")
    correction: Literal["holm", "benjamini_hochberg"] = Field("holm", description="correction for multiple comparisons")
    search: Search | None = Field(
        None,
        description="hyperparameter search on the validation split, before the cells run; its values go to every condition",
    )

    @field_validator("overrides")
    @classmethod
    def _overrides_allowed(cls, overrides: Level) -> Level:
        if issues := _keys_set_by_study(overrides):
            raise refusal_of("overrides", issues, overrides)
        return overrides

    @field_validator("factors")
    @classmethod
    def _levels_allowed(cls, factors: dict[str, dict[str, Level]]) -> dict[str, dict[str, Level]]:
        issues = [
            Issue((label,), "a factor needs a reference and at least one other level", at_key=True)
            for label, levels in factors.items()
            if len(levels) < 2
        ]
        for label, levels in factors.items():
            for name, level in levels.items():
                issues += _keys_set_by_study(level, label, name)
        if issues:
            raise refusal_of("factors", issues, factors)
        return factors

    @field_validator("metric")
    @classmethod
    def _metric_known(cls, metric: str) -> str:
        protocol, _, score = metric.partition("/")
        if protocol.startswith("few_shot"):
            raise ValueError(
                "few_shot has a score for each number of shots, so a study cannot be judged by it; take knn or probe"
            )
        if protocol not in PROTOCOLS:
            raise ValueError(
                f"must be protocol/score, with one of the protocols {', '.join(PROTOCOLS)}{nearest(protocol, PROTOCOLS)}"
            )
        if score not in SCORES:
            raise ValueError(f"must be protocol/score, with one of the scores {', '.join(SCORES)}{nearest(score, SCORES)}")
        return metric

    @field_validator("seeds", "tasks")
    @classmethod
    def _no_duplicates(cls, values: Any) -> Any:
        if isinstance(values, tuple) and (repeated := [value for n, value in enumerate(values) if value in values[:n]]):
            raise ValueError(f"{repeated[0]} is listed twice; list it once")
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.budget is not None and any(level.get("steps") for level in [self.overrides, *self.every_level().values()]):
            raise ValueError(
                "steps are set by the budget and by a level or the overrides; leave one out (a level with steps: 0 may stay)"
            )
        longest = max(self.conditions(), key=len)
        if len(longest) > _MAX_CONDITION_LENGTH:
            raise ValueError(
                f"the condition {longest[:40]}... has {len(longest)} characters, at most {_MAX_CONDITION_LENGTH} are allowed; "
                "shorten the labels"
            )
        return self

    @model_validator(mode="after")
    def _search_consistent(self) -> Self:
        # A validator of its own, so that its issues are reported at keys of `search` rather than at the whole study.
        if self.search is not None and (issues := self._search_issues(self.search)):
            raise refusal_of("search", issues, self.search)
        return self

    def _search_issues(self, search: Search) -> list[Issue]:
        """Return what in a search contradicts the rest of the study."""
        issues = _keys_set_by_study(dict(search.space), "search", "space")
        if self.budget is not None and self.budget.measured:
            message = "the cost of a step may depend on the searched values; use a budget of steps or tokens, or search first"
            issues.append(Issue(("search",), message, at_key=True))
        if search.seed in self.every_seed:
            message = (
                f"{search.seed} is one of the study's seeds: on it, the chosen values would look better than they are; "
                "take another seed"
            )
            issues.append(Issue(("search", "seed"), message))
        levels = {f"factors.{factor}.{name}": level for (factor, name), level in self.every_level().items()}
        for section, level in {"overrides": self.overrides, **levels}.items():
            for path, key in product(search.space, level):
                if _overlap(path, key):
                    message = f"{section} sets {key} already; leave one of them out"
                    issues.append(Issue(("search", "space", path), message, at_key=True))
        return issues

    @property
    def every_seed(self) -> tuple[int, ...]:
        """Return the seeds."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    @property
    def protocol(self) -> str:
        """Return the evaluation protocol, the first half of the metric."""
        return self.metric.partition("/")[0]

    @property
    def score(self) -> str:
        """Return the score that is compared, the second half of the metric."""
        return self.metric.partition("/")[2]

    @property
    def crossed(self) -> bool:
        """Return whether the levels of several factors are fully crossed, so that main effects exist."""
        return self.design == "factorial" and len(self.factors) > 1

    def every_level(self) -> dict[tuple[str, str], Level]:
        """Return all levels by factor and label."""
        return {(factor, label): level for factor, levels in self.factors.items() for label, level in levels.items()}

    def conditions(self) -> dict[str, dict[str, str]]:
        """Return the conditions by name, each with its level of every factor. All are compared with the first."""
        # Python keeps the order of a map, and so does JSON: the first level of a factor is its reference.
        reference = {factor: next(iter(levels)) for factor, levels in self.factors.items()}
        if self.design == "factorial":
            conditions = [dict(zip(self.factors, levels, strict=True)) for levels in product(*self.factors.values())]
        elif self.design == "leave_one_out":
            # The last levels are the complete method; a condition sets one factor back, that is, leaves one component out.
            whole = {factor: list(levels)[-1] for factor, levels in self.factors.items()}
            conditions = [whole, *({**whole, factor: reference[factor]} for factor in self.factors)]
        else:
            others = [(factor, level) for factor, levels in self.factors.items() for level in list(levels)[1:]]
            conditions = [reference, *({**reference, factor: level} for factor, level in others)]
        first = "whole" if self.design == "leave_one_out" else "reference"
        return {_condition_name(levels, conditions[0]) or first: levels for levels in conditions}


@dataclass(frozen=True)
class StudyCell:
    """One run of a study: a condition and a seed, with the complete recipe."""

    condition: str
    seed: int
    recipe: Recipe

    @property
    def relative_path(self) -> str:
        """Return the path of the cell's folder in the study's folder."""
        return f"cells/{self.condition}/seed-{self.seed}"


def _keys_set_by_study(level: Level, *path: str) -> list[Issue]:
    """Return an issue for each recipe key of a level that the study sets itself.

    Such a key would make conditions differ in more than their names say.
    """
    return [
        Issue((*path, key), f"{_SET_BY_STUDY[first]}; leave it out", at_key=True)
        for key in level
        if (first := key.partition(".")[0].strip()) in _SET_BY_STUDY
    ]


def _overlap(path: str, other_path: str) -> bool:
    """Return whether two recipe paths are equal, or one is inside the other."""
    keys, other_keys = path.split("."), other_path.split(".")
    shared = min(len(keys), len(other_keys))
    return keys[:shared] == other_keys[:shared]


def _condition_name(levels: Mapping[str, str], first: Mapping[str, str]) -> str:
    """Return a condition's name: the levels in which it differs from the first condition."""
    return "+".join(f"{factor}-{level}" for factor, level in levels.items() if level != first[factor])

"""A study: a base recipe, factors with labelled levels, a design, seeds, tasks and the one score that it will be judged by."""

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
from findna_kit.study.search_space import Search  # noqa: TC001 - pydantic reads it

if TYPE_CHECKING:
    from collections.abc import Mapping

    from findna_kit.recipe import Recipe

Design = Literal["one_at_a_time", "leave_one_out", "factorial"]
Level = dict[str, Any]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
PROTOCOLS = tuple(name for name in OPTIONS if name != "few_shot")
"""One score each; few_shot has one for each number of shots."""
_OWN = {
    "name": "a run is called as its condition",
    "seed": "the study's seeds state it, for every condition the same",
    "evaluation": "the study's tasks and metric state it, for every condition the same",
    "base": "a base is stated in the recipe's file",
}
_LONGEST = 200
"""Letters in a condition's name, which becomes a folder's."""


class Budget(Settings):
    """What every cell may cost; turned into a number of steps before the first one starts."""

    steps: int | None = Field(None, gt=0, description="optimizer steps")
    tokens: int | None = Field(None, gt=0, description="nucleotides drawn from the genome, windows times their length")
    flops: float | None = Field(None, gt=0, allow_inf_nan=False, description="floating-point operations, as `plan` counts them")
    seconds: float | None = Field(None, gt=0, allow_inf_nan=False, description="of training, as measured on this machine")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError(f"exactly one of {', '.join(type(self).model_fields)} is wanted")
        return self

    @property
    def measured(self) -> bool:
        """Whether its steps are known only once a step of every condition has been taken."""
        return self.flops is not None or self.seconds is not None


class Study(Settings):
    """What `ablate` runs. The first level of a factor is its reference."""

    name: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$", description="what the study is called")
    recipe: str = Field(description="path or shipped name of the recipe that all cells begin with")
    overrides: Level = Field({}, description="recipe paths to values, in every cell; null drops a key")
    factors: dict[Label, dict[Label, Level]] = Field(
        min_length=1, description="by label: levels by label, each a map of recipe paths to values; null drops a key"
    )
    design: Design = Field(
        "one_at_a_time",
        description="one_at_a_time: each other level alone; leave_one_out: from the last levels of all, each factor put back "
        "to its reference; factorial: every combination",
    )
    seeds: Annotated[int, Field(gt=0)] | Annotated[tuple[Seed, ...], Field(min_length=1)] = Field(
        description="how many, from 0 on, or which"
    )
    budget: Budget | None = Field(None, description="of each cell; null: the recipe's own steps")
    tasks: tuple[str, ...] = Field(min_length=1, description="builtin, or paths of labelled tasks")
    metric: str = Field(description="protocol/score that the study will be judged by: probe/mcc, knn/accuracy, ...")
    correction: Literal["holm", "benjamini_hochberg"] = Field("holm", description="for the family of all comparisons")
    search: Search | None = Field(None, description="values for every condition, chosen by held-out windows before the cells")

    @field_validator("overrides")
    @classmethod
    def _of_all(cls, overrides: Level) -> Level:
        if said := _not_stated_here(overrides):
            raise refusal_of("overrides", said, overrides)
        return overrides

    @field_validator("factors")
    @classmethod
    def _levels(cls, factors: dict[str, dict[str, Level]]) -> dict[str, dict[str, Level]]:
        said = [
            Issue((label,), "a factor has a reference and at least one other level", at_key=True)
            for label, levels in factors.items()
            if len(levels) < 2
        ]
        for label, levels in factors.items():
            for name, level in levels.items():
                said += _not_stated_here(level, label, name)
        if said:
            raise refusal_of("factors", said, factors)
        return factors

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        protocol, _, score = metric.partition("/")
        if protocol.startswith("few_shot"):
            raise ValueError(
                "few_shot is a score for each number of shots, and studies are not judged by it; take knn or probe"
            )
        if protocol not in PROTOCOLS:
            raise ValueError(f"protocol/score is wanted, of the protocols {', '.join(PROTOCOLS)}{nearest(protocol, PROTOCOLS)}")
        if score not in SCORES:
            raise ValueError(f"protocol/score is wanted, of the scores {', '.join(SCORES)}{nearest(score, SCORES)}")
        return metric

    @field_validator("seeds", "tasks")
    @classmethod
    def _once_each(cls, stated: Any) -> Any:
        if isinstance(stated, tuple) and (twice := [one for place, one in enumerate(stated) if one in stated[:place]]):
            raise ValueError(f"{twice[0]} is stated twice; once is enough")
        return stated

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.budget is not None and any(level.get("steps") for level in [self.overrides, *self.every_level().values()]):
            raise ValueError("steps are stated by the budget and beside it too; leave one out (steps: 0 of a level may stay)")
        longest = max(self.conditions(), key=len)
        if len(longest) > _LONGEST:
            raise ValueError(
                f"the condition {longest[:40]}... has {len(longest)} letters, {_LONGEST} at most; shorten the labels"
            )
        return self

    @model_validator(mode="after")
    def _searched(self) -> Self:
        if self.search is not None and (said := self._searches_what_is_stated(self.search)):
            raise refusal_of("search", said, self.search)
        return self

    def _searches_what_is_stated(self, search: Search) -> list[Issue]:
        """Of a search, what the study states already."""
        said = _not_stated_here(dict(search.space), "search", "space")
        if self.budget is not None and self.budget.measured:
            why = "what a step costs may follow from what is searched for; take a budget of steps or tokens, or search before"
            said.append(Issue(("search",), why, at_key=True))
        if search.seed in self.every_seed:
            why = f"{search.seed} is one of the study's seeds, where what it chooses would look better than it is; take another"
            said.append(Issue(("search", "seed"), why))
        levels = {f"factors.{factor}.{name}": level for (factor, name), level in self.every_level().items()}
        for where, level in {"overrides": self.overrides, **levels}.items():
            for path, key in product(search.space, level):
                if _overlap(path, key):
                    said.append(
                        Issue(("search", "space", path), f"{where} states {key} already; leave one of them out", at_key=True)
                    )
        return said

    @property
    def every_seed(self) -> tuple[int, ...]:
        """Which seeds."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    @property
    def protocol(self) -> str:
        """How cells are scored."""
        return self.metric.partition("/")[0]

    @property
    def score(self) -> str:
        """What is compared."""
        return self.metric.partition("/")[2]

    @property
    def crossed(self) -> bool:
        """Whether every level meets every level of another factor, so that it has a main effect beside its conditions' own."""
        return self.design == "factorial" and len(self.factors) > 1

    def every_level(self) -> dict[tuple[str, str], Level]:
        """By factor and label."""
        return {(factor, label): level for factor, levels in self.factors.items() for label, level in levels.items()}

    def conditions(self) -> dict[str, dict[str, str]]:
        """By name: the level of every factor. The first is what all others are compared with."""
        reference = {factor: next(iter(levels)) for factor, levels in self.factors.items()}
        if self.design == "factorial":
            chosen = [dict(zip(self.factors, combination, strict=True)) for combination in product(*self.factors.values())]
        elif self.design == "leave_one_out":
            whole = {factor: list(levels)[-1] for factor, levels in self.factors.items()}
            chosen = [whole, *({**whole, factor: reference[factor]} for factor in self.factors)]
        else:
            others = [(factor, level) for factor, levels in self.factors.items() for level in list(levels)[1:]]
            chosen = [reference, *({**reference, factor: level} for factor, level in others)]
        first = "whole" if self.design == "leave_one_out" else "reference"
        return {_differs(levels, chosen[0]) or first: levels for levels in chosen}


@dataclass(frozen=True)
class Cell:
    """One run of a study: a condition and a seed, with its whole recipe."""

    condition: str
    seed: int
    recipe: Recipe

    @property
    def place(self) -> str:
        """Its folder's path in the study's."""
        return f"cells/{self.condition}/seed-{self.seed}"


def _not_stated_here(level: Level, *path: str) -> list[Issue]:
    """What a study states itself, stated by a level: conditions would differ in more than they say."""
    return [
        Issue((*path, key), f"{_OWN[first]}; leave it out", at_key=True)
        for key in level
        if (first := key.partition(".")[0].strip()) in _OWN
    ]


def _overlap(one: str, other: str) -> bool:
    """Whether two recipe paths are one, or one lies in what the other states."""
    parts, others = one.split("."), other.split(".")
    shared = min(len(parts), len(others))
    return parts[:shared] == others[:shared]


def _differs(levels: Mapping[str, str], first: Mapping[str, str]) -> str:
    """The condition's name: what differs from the first one."""
    return "+".join(f"{factor}-{level}" for factor, level in levels.items() if level != first[factor])

"""A study: a base recipe, factors with labelled levels, a design, seeds, tasks and the one score that it will be judged by."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path  # noqa: TC003 - beside what pydantic reads at run time
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from findna_kit.errors import FindnaError
from findna_kit.evaluation.evaluate import NAMES
from findna_kit.evaluation.scores import SCORES
from findna_kit.recipe import load_recipe
from findna_kit.recipe.document import Found, Where, parse, read_text, refusal
from findna_kit.recipe.load import place_of
from findna_kit.recipe.schema import Label  # noqa: TC001 - pydantic reads it
from findna_kit.recipe.sentences import explain
from findna_kit.recipe.shipped import find_recipe
from findna_kit.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.plugins import Plugin
    from findna_kit.recipe import Recipe
    from findna_kit.registry import Components

Design = Literal["one_at_a_time", "leave_one_out", "factorial"]
Level = dict[str, Any]


class Budget(Settings):
    """What every cell may cost; turned into a number of steps before the first one starts."""

    steps: int | None = Field(None, gt=0, description="optimizer steps")
    tokens: int | None = Field(None, gt=0, description="nucleotides drawn from the genome, windows times their length")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.steps is None) == (self.tokens is None):
            raise ValueError("exactly one of steps, tokens is wanted")
        return self


class Study(Settings):
    """What `ablate` runs. The first level of a factor is its reference."""

    name: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$", description="what the study is called")
    recipe: str = Field(description="path or shipped name of the recipe that all cells begin with")
    factors: dict[Label, dict[Label, Level]] = Field(
        min_length=1, description="by label: levels by label, each a map of recipe paths to values; null drops a key"
    )
    design: Design = Field(
        "one_at_a_time",
        description="one_at_a_time: each other level alone; leave_one_out: from the last levels of all, each factor put back "
        "to its reference; factorial: every combination",
    )
    seeds: Annotated[int, Field(gt=0)] | Annotated[tuple[int, ...], Field(min_length=1)] = Field(
        description="how many, from 0 on, or which"
    )
    budget: Budget | None = Field(None, description="of each cell; null: the recipe's own steps")
    tasks: tuple[str, ...] = Field(min_length=1, description="labelled tasks, as in a recipe's evaluation")
    metric: str = Field(description="protocol/score that the study will be judged by: probe/mcc, knn/accuracy, ...")
    correction: Literal["holm", "benjamini_hochberg"] = Field("holm", description="for the family of all comparisons")

    @field_validator("factors")
    @classmethod
    def _levels(cls, factors: dict[str, dict[str, Level]]) -> dict[str, dict[str, Level]]:
        for label, levels in factors.items():
            if len(levels) < 2:
                raise ValueError(f"{label}: a factor has a reference and at least one other level")
        return factors

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        protocol, _, score = metric.partition("/")
        if protocol not in NAMES or score not in SCORES or protocol == "few_shot":
            protocols = ", ".join(name for name in NAMES if name != "few_shot")
            raise ValueError(f"protocol/score is wanted: one of {protocols}, then one of {', '.join(SCORES)}")
        return metric

    @field_validator("seeds")
    @classmethod
    def _once_each(cls, seeds: int | tuple[int, ...]) -> int | tuple[int, ...]:
        if isinstance(seeds, tuple) and len(set(seeds)) < len(seeds):
            raise ValueError("a seed is stated twice; once is enough")
        return seeds

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
        return {_named(levels, chosen[0]): levels for levels in chosen}


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


def _named(levels: dict[str, str], first: dict[str, str]) -> str:
    """What differs from the first condition, which is called `reference`."""
    differs = [f"{factor}-{level}" for factor, level in levels.items() if level != first[factor]]
    return "+".join(differs) or "reference"


def load_study(path: Path) -> Study:
    """The study in a file, with its recipe and tasks as the file means them. RecipeError with every problem on its line."""
    found: list[Found] = []
    text = read_text(path, str(path), 0)
    root = parse(text, lambda line, column: Where(0, str(path), line, column), path.parent, found)
    if root is None or not isinstance(root.value, dict):
        raise refusal(found or [Found(Where(0, str(path)), "", "a study is a map of keys")])
    tree = root.plain()
    try:
        study = Study.model_validate_json(json.dumps(tree), strict=True)
    except ValidationError as error:
        placed = [place for one in explain(error, Study, tree) if (place := place_of(root, one)) is not None]
        raise refusal([*found, *placed]) from None
    if found:
        raise refusal(found)
    try:
        recipe, _ = find_recipe(study.recipe, path.parent)
    except FileNotFoundError as error:
        raise refusal([Found(root.value["recipe"].where, "recipe", str(error))]) from None
    return study.model_copy(update={"recipe": str(recipe.absolute())})


def cells_of(study: Study, folder: Path, components: Components, failed: Sequence[Plugin] = ()) -> list[Cell]:
    """Every cell, each read as `check` reads a recipe. `folder`: what paths in the levels start from.

    Seeds are paired: the same ones in every condition, so weights, windows and masks of one seed are the same wherever a
    condition does not change them. RecipeError, or another FindnaError, names the cell that is wrong.
    """
    cells = []
    for condition, levels in study.conditions().items():
        stated = [override for factor, level in levels.items() for override in _overrides(study.factors[factor][level])]
        for seed in study.every_seed:
            fixed = [
                f"name={condition.replace('+', '.')}", f"seed={seed}", f"evaluation.tasks={json.dumps(study.tasks)}",
                f"evaluation.protocols=[{study.protocol}]",
            ]  # fmt: skip
            try:
                recipe = load_recipe(study.recipe, components, overrides=[*stated, *fixed], folder=folder, failed=failed)
            except FindnaError as error:
                raise FindnaError(f"the condition {condition}:\n{error}") from error
            cells.append(Cell(condition, seed, _within(study.budget, recipe)))
    return cells


def _overrides(level: Level) -> list[str]:
    return [f"{path}={json.dumps(value)}" for path, value in level.items()]


def _within(budget: Budget | None, recipe: Recipe) -> Recipe:
    """The recipe with the budget's steps; one that learns nothing keeps its none."""
    if budget is None or recipe.steps == 0:
        return recipe
    steps = budget.steps or max(1, round((budget.tokens or 0) / (recipe.data.batch_size * recipe.data.length)))
    return recipe.model_copy(update={"steps": steps})

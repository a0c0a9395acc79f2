"""A study from its file, and its cells; every problem put on its line."""

from __future__ import annotations

import json
import os.path
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from findna_kit.errors import FindnaError, RecipeError
from findna_kit.recipe import load_recipe
from findna_kit.recipe.error_messages import explain
from findna_kit.recipe.load import locate
from findna_kit.recipe.node_paths import absolute_task
from findna_kit.recipe.shipped import find_recipe, find_study
from findna_kit.recipe.yaml_nodes import LocatedIssue, Location, Node, parse, read_text, refusal
from findna_kit.study.schema import Cell, Study

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.recipe import Recipe
    from findna_kit.study.schema import Budget, Level


@dataclass(frozen=True)
class Stated:
    """A study, the folder that its paths start from, and where in its file each recipe path was given a value, by `--set`.

    Of a path of the search's space, by `space PATH`.
    """

    study: Study
    folder: Path
    places: dict[str, str]


def load_study(given: str) -> Stated:
    """The study in the file, or of the shipped name, `given`; its recipe and tasks absolute.

    RecipeError with every problem on its line.
    """
    try:
        path = find_study(given)
    except FileNotFoundError as error:
        raise refusal([LocatedIssue(Location(0, given), "", str(error))]) from None
    name, found = str(path), list[LocatedIssue]()
    root = parse(read_text(path, name, 0), lambda line, column: Location(0, name, line, column), path.parent.absolute(), found)
    if root is None or not isinstance(root.value, dict):
        raise refusal(found or [LocatedIssue(Location(0, name, 1, 1), "", "a study is a map of keys")])
    _absolute_tasks(root)
    tree = root.plain()
    try:
        study = Study.model_validate_json(json.dumps(tree), strict=True)
    except ValidationError as error:
        placed = [place for one in explain(error, Study, tree) if (place := locate(root, one)) is not None]
        raise refusal([*found, *placed]) from None
    if found:
        raise refusal(found)
    return Stated(study.model_copy(update={"recipe": str(_recipe(root.value["recipe"], path))}), path.parent, _places(root))


def is_study(given: str) -> bool:
    """Whether `given` is a study rather than a recipe: a shipped one's name, or a file that states factors, or a recipe."""
    try:
        path = find_study(given)
    except FileNotFoundError:
        return False
    try:
        root = parse(
            read_text(path, given, 0), lambda line, column: Location(0, given, line, column), path.parent.absolute(), []
        )
    except RecipeError:
        return False
    return root is not None and isinstance(root.value, dict) and not {"factors", "recipe"}.isdisjoint(root.value)


def _absolute_tasks(root: Node) -> None:
    tasks = root.below("tasks")
    for task in tasks.value if tasks is not None and isinstance(tasks.value, list) else ():
        absolute_task(task)


def _recipe(stated: Node, path: Path) -> Path:
    """The file of the study's recipe."""
    try:
        recipe, _ = find_recipe(str(stated.value), path.parent)
    except FileNotFoundError as error:
        raise refusal([LocatedIssue(stated.where, "recipe", f"{error} (got {stated.value!r})")]) from None
    if recipe.samefile(path):
        raise refusal([LocatedIssue(stated.where, "recipe", "circular: a recipe is wanted, and this is the study itself")])
    return Path(os.path.abspath(recipe))  # noqa: PTH100 - not resolve(), which follows links


def _places(root: Node) -> dict[str, str]:
    """By a `--set`'s words: `file:line:column` of what states it."""
    places: dict[str, str] = {}
    factors = [factor for factor in (root.below("factors"),) if factor is not None]
    levels = [level for factor in factors for levels in _under(factor) for level in _under(levels)]
    for level in [*levels, *(node for node in (root.below("overrides"),) if node is not None)]:
        for path, node in level.value.items() if isinstance(level.value, dict) else ():
            places[f"--set {_override(path, node.plain())}"] = str(node.key)
    search = root.below("search")
    space = None if search is None else search.below("space")
    for path, node in space.value.items() if space is not None and isinstance(space.value, dict) else ():
        places[f"space {path}"] = str(node.key)
    return places


def with_values(stated: Stated, values: Mapping[str, Any]) -> Stated:
    """The study with values of its search's space in every condition; what is wrong with one is said where its range stands."""
    study = stated.study.model_copy(update={"overrides": {**stated.study.overrides, **values}})
    places = {f"--set {_override(path, value)}": stated.places[f"space {path}"] for path, value in values.items()}
    return replace(stated, study=study, places={**stated.places, **places})


def _under(node: Node) -> list[Node]:
    return list(node.value.values()) if isinstance(node.value, dict) else []


def cells_of(
    stated: Stated, components: Components, failed: Sequence[Plugin], check: Callable[[Recipe], object]
) -> list[Cell]:  # fmt: skip
    """Every cell, each condition read as `check` reads a recipe, and given to `check`.

    Seeds are paired: the same ones in every condition, so weights, windows and masks of one seed are the same wherever a
    condition does not change them. FindnaError with what is wrong in all conditions, each by its name.
    """
    study, cells, wrong, seen = stated.study, list[Cell](), list[str](), set[str]()
    recipes: dict[str, Recipe] = {}
    for condition in study.conditions():
        try:
            recipe = recipe_of(stated, condition, components, failed)
            _same_as_none(recipe, recipes)
            check(recipe)
        except FindnaError as error:
            lines = _placed(error, stated.places)
            # What is wrong with the base is said once.
            wrong += [f"the condition {condition}:", *new] if (new := [line for line in lines if line not in seen]) else []
            seen.update(lines)
            continue
        recipes[condition] = recipe
        cells += [Cell(condition, seed, recipe.model_copy(update={"seed": seed})) for seed in study.every_seed]
    if wrong:
        raise FindnaError("\n".join(wrong))
    return cells


def recipe_of(stated: Stated, condition: str, components: Components, failed: Sequence[Plugin]) -> Recipe:
    """A condition's recipe with the first of the study's seeds. FindnaError for what `load_recipe` refuses."""
    study, levels = stated.study, stated.study.conditions()[condition]
    fixed = {"name": condition.replace("+", "."), "seed": study.every_seed[0], "evaluation.tasks": study.tasks}
    fixed["evaluation.protocols"] = [study.protocol]
    chosen: list[Level] = [study.overrides, *(study.factors[factor][level] for factor, level in levels.items()), fixed]
    overrides = [_override(path, value) for level in chosen for path, value in level.items()]
    recipe = load_recipe(study.recipe, components, overrides=overrides, folder=stated.folder, failed=failed)
    return _within(study.budget, recipe)


def _same_as_none(recipe: Recipe, others: dict[str, Recipe]) -> None:
    for condition, other in others.items():
        if recipe.model_copy(update={"name": other.name}) == other:
            raise FindnaError(f"is the same recipe as the condition {condition}: there is nothing to compare")


def _placed(error: FindnaError, places: dict[str, str]) -> list[str]:
    if not isinstance(error, RecipeError):
        return str(error).splitlines()
    return [*(str(replace(one, where=places.get(one.where, one.where))) for one in error.problems), *error.notes]


def _override(path: str, value: Any) -> str:
    return f"{path}={json.dumps(value, ensure_ascii=False)}"


def _within(budget: Budget | None, recipe: Recipe) -> Recipe:
    """The recipe with the budget's steps; one that learns nothing keeps its none, and one whose steps are measured its own.

    FindnaError where not one step fits.
    """
    if budget is None or budget.measured or recipe.steps == 0:
        return recipe
    drawn = recipe.data.batch_size * recipe.data.length
    steps = budget.steps or (budget.tokens or 0) // drawn
    if not steps:
        raise FindnaError(f"a step draws {drawn:,} nucleotides, more than the budget's {budget.tokens:,} tokens")
    return recipe.model_copy(update={"steps": steps})

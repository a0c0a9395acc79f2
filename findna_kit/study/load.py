"""Loading a study from its file, and building the recipes of its cells; every problem is reported with its line."""

from __future__ import annotations

import json
import os.path
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from findna_kit.errors import FindnaError, RecipeError
from findna_kit.evaluation import load_task
from findna_kit.recipe import load_recipe
from findna_kit.recipe.error_messages import explain
from findna_kit.recipe.load import locate
from findna_kit.recipe.node_paths import absolute_task
from findna_kit.recipe.shipped import find_recipe, find_study
from findna_kit.recipe.yaml_nodes import LocatedIssue, Location, Node, parse, read_text, refusal
from findna_kit.study.schema import Study, StudyCell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.recipe import Recipe
    from findna_kit.study.schema import Budget
    from findna_kit.study.search_space import Level


@dataclass(frozen=True)
class LoadedStudy:
    """A study with the folder of its file and the lines that its values come from.

    folder: relative paths of the study start here. locations: `file:line:column` by the `--set` text that stands for the value,
    and by `space PATH` for the ranges of a search.
    """

    study: Study
    folder: Path
    locations: dict[str, str]


def load_study(source: str) -> LoadedStudy:
    """Return the study in a file, or a shipped study by its name, with absolute paths of its recipe and tasks.

    Raises RecipeError with every problem and its line.
    """
    try:
        path = find_study(source)
    except FileNotFoundError as error:
        raise refusal([LocatedIssue(Location(0, source), "", str(error))]) from None
    name, issues = str(path), list[LocatedIssue]()
    root = parse(read_text(path, name, 0), lambda line, column: Location(0, name, line, column), path.parent.absolute(), issues)
    if root is None or not isinstance(root.value, dict):
        raise refusal(issues or [LocatedIssue(Location(0, name, 1, 1), "", "a study must be a map of keys")])
    issues += _ambiguous_numbers(root)
    # Before validation, so that error messages and the saved study have the same paths.
    _make_tasks_absolute(root)
    tree = root.plain()
    try:
        # By way of JSON, because strict validation of Python objects would refuse lists where the schema has tuples.
        study = Study.model_validate_json(json.dumps(tree), strict=True)
    except ValidationError as error:
        located = [place for issue in explain(error, Study, tree) if (place := locate(root, issue)) is not None]
        raise refusal([*issues, *located]) from None
    if issues:
        raise refusal(issues)
    recipe = _recipe_path(root.value["recipe"], path)
    return LoadedStudy(study.model_copy(update={"recipe": str(recipe)}), path.parent, _locations(root))


def _ambiguous_numbers(root: Node) -> list[LocatedIssue]:
    """Return an issue for each whole number of an override that is not written as usual, such as 01 or 1_000.

    Its type depends on the recipe's key, where the way it was written is not known any more: 01 may be the name of a contig.
    """
    overrides = [root.below("overrides"), root.below("factors")]
    return [
        LocatedIssue(node.where, "", f"{node.spelling}: write {node.value}, or put it in quotes if it is text")
        for override in overrides
        for node in _scalars(override)
        if type(node.value) is int and node.spelling != str(node.value)
    ]


def _scalars(node: Node | None) -> Iterator[Node]:
    """Yield all scalars below a node."""
    value = None if node is None else node.value
    if isinstance(value, (dict, list)):
        for below in value.values() if isinstance(value, dict) else value:
            yield from _scalars(below)
    elif node is not None:
        yield node


def is_study(source: str) -> bool:
    """Return whether `source` is a study rather than a recipe: a shipped study, or a file with the key factors or recipe."""
    try:
        path = find_study(source)
    except FileNotFoundError:
        return False
    try:
        root = parse(
            read_text(path, source, 0), lambda line, column: Location(0, source, line, column), path.parent.absolute(), []
        )
    except RecipeError:
        return False
    return root is not None and isinstance(root.value, dict) and not {"factors", "recipe"}.isdisjoint(root.value)


def _make_tasks_absolute(root: Node) -> None:
    """Make the paths of tasks absolute, in place. They are relative to the study's file."""
    tasks = root.below("tasks")
    for task in tasks.value if tasks is not None and isinstance(tasks.value, list) else ():
        absolute_task(task)


def _recipe_path(node: Node, study_path: Path) -> Path:
    """Return the file of the study's recipe."""
    try:
        recipe, _ = find_recipe(str(node.value), study_path.parent)
    except FileNotFoundError as error:
        raise refusal([LocatedIssue(node.where, "recipe", f"{error} (got {node.value!r})")]) from None
    if recipe.samefile(study_path):
        raise refusal([LocatedIssue(node.where, "recipe", "circular: must name a recipe, and this is the study itself")])
    return Path(os.path.abspath(recipe))  # noqa: PTH100 - not resolve(), which follows links


def _locations(root: Node) -> dict[str, str]:
    """Return `file:line:column` of each value, by the `--set` text that stands for it."""
    locations: dict[str, str] = {}
    factors = [factor for factor in (root.below("factors"),) if factor is not None]
    levels = [level for factor in factors for levels in _children(factor) for level in _children(levels)]
    for level in [*levels, *(node for node in (root.below("overrides"),) if node is not None)]:
        for path, node in level.value.items() if isinstance(level.value, dict) else ():
            locations[f"--set {_override(path, node.plain())}"] = str(node.key)
    search = root.below("search")
    space = None if search is None else search.below("space")
    for path, node in space.value.items() if space is not None and isinstance(space.value, dict) else ():
        locations[f"space {path}"] = str(node.key)
    return locations


def with_values(loaded: LoadedStudy, values: Mapping[str, Any]) -> LoadedStudy:
    """Return the study with searched values in every condition; problems with one are reported at the line of its range."""
    # As overrides, values of the search reach every condition, and a level that sets the same key is refused by the schema.
    study = loaded.study.model_copy(update={"overrides": {**loaded.study.overrides, **values}})
    locations = {f"--set {_override(path, value)}": loaded.locations[f"space {path}"] for path, value in values.items()}
    return replace(loaded, study=study, locations={**loaded.locations, **locations})


def _children(node: Node) -> list[Node]:
    return list(node.value.values()) if isinstance(node.value, dict) else []


def build_cells(
    loaded: LoadedStudy, components: Components, failed: Sequence[Plugin], check: Callable[[Recipe], object]
) -> list[StudyCell]:  # fmt: skip
    """Return every cell of the study. `check` is called with the recipe of each condition, to validate it.

    Seeds are paired: every condition has the same ones, so weights, windows and masks of one seed are equal wherever a
    condition does not change them. Raises FindnaError with the problems of all conditions, under their names.
    """
    study, cells, problems, seen = loaded.study, list[StudyCell](), list[str](), set[str]()
    recipes: dict[str, Recipe] = {}
    for condition in study.conditions():
        try:
            recipe = condition_recipe(loaded, condition, components, failed)
            _check_distinct(recipe, recipes)
            check(recipe)
        except FindnaError as error:
            lines = _located_lines(error, loaded.locations)
            # A problem of the base recipe comes up in every condition; it is reported once.
            new_lines = [line for line in lines if line not in seen]
            problems += [f"the condition {condition}:", *new_lines] if new_lines else []
            seen.update(lines)
            continue
        recipes[condition] = recipe
        cells += [StudyCell(condition, seed, recipe.model_copy(update={"seed": seed})) for seed in study.every_seed]
    if problems:
        raise FindnaError("\n".join(problems))
    return cells


def condition_recipe(loaded: LoadedStudy, condition: str, components: Components, failed: Sequence[Plugin]) -> Recipe:
    """Return a condition's recipe, with the first of the study's seeds. Raise FindnaError for what `load_recipe` refuses."""
    study = loaded.study
    fixed: Level = {"name": condition.replace("+", "."), "seed": study.every_seed[0], "evaluation.tasks": study.tasks}
    fixed["evaluation.protocols"] = [study.protocol]
    # Later values win: nothing replaces what the study sets itself.
    overrides = [*condition_overrides(study, condition), *(_override(path, value) for path, value in fixed.items())]
    recipe = load_recipe(study.recipe, components, overrides=overrides, folder=loaded.folder, failed=failed)
    return _apply_budget(study.budget, recipe)


def condition_overrides(study: Study, condition: str) -> list[str]:
    """Return what a condition changes in the study's recipe, as `--set` takes it. A level replaces the study's overrides."""
    levels = (study.factors[factor][level] for factor, level in study.conditions()[condition].items())
    return [_override(path, value) for level in (study.overrides, *levels) for path, value in level.items()]


def _check_distinct(recipe: Recipe, others: dict[str, Recipe]) -> None:
    """Raise FindnaError for a recipe that is equal to another condition's, up to its name."""
    for condition, other in others.items():
        if recipe.model_copy(update={"name": other.name}) == other:
            raise FindnaError(f"is the same recipe as the condition {condition}: there is nothing to compare")


def _located_lines(error: FindnaError, locations: dict[str, str]) -> list[str]:
    """Return the lines of an error, in which a line of the study's file replaces the name of a `--set`."""
    if not isinstance(error, RecipeError):
        return str(error).splitlines()
    problems = (replace(problem, where=locations.get(problem.where, problem.where)) for problem in error.problems)
    return [*map(str, problems), *error.notes]


def _override(path: str, value: Any) -> str:
    """Return the text of a `--set` option. JSON is valid YAML, which options are read as."""
    return f"{path}={json.dumps(value, ensure_ascii=False)}"


def task_names(tasks: Sequence[str]) -> dict[str, str]:
    """Return the name of each task in tables, by its key in evaluation.json: its path where two tasks share a name.

    Raises FindnaError where one task is listed twice.
    """
    loaded = [load_task(task) for task in tasks]
    names = [task.name for task in loaded]
    labels = {task.path: task.name if names.count(task.name) == 1 else task.path for task in loaded}
    if len(labels) < len(loaded):
        raise FindnaError(f"tasks: two of {', '.join(tasks)} are the same task; list it once")
    return labels


def _apply_budget(budget: Budget | None, recipe: Recipe) -> Recipe:
    """Return the recipe with the budget's steps. Raise FindnaError where the budget is smaller than one step.

    A recipe with zero steps keeps them, and so does every recipe under a budget that is measured later.
    """
    if budget is None or budget.measured or recipe.steps == 0:
        return recipe
    step_tokens = recipe.data.batch_size * recipe.data.length
    steps = budget.steps or (budget.tokens or 0) // step_tokens
    if not steps:
        raise FindnaError(f"one step takes {step_tokens:,} nucleotides, more than the budget's {budget.tokens:,} tokens")
    return recipe.model_copy(update={"steps": steps})

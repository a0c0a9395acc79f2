"""What most commands begin with: plugins, then the recipe; and what is said of either."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError
from findna_kit.plugins import load_plugins
from findna_kit.recipe import load_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.plugins import Plugin
    from findna_kit.recipe import Recipe
    from findna_kit.registry import Components


def say(sentence: str) -> None:
    """Progress and remarks go to stderr; stdout is for results."""
    print(sentence, file=sys.stderr, flush=True)


def say_failures(plugins: Sequence[Plugin]) -> None:
    """A line for each plugin that did not load."""
    for plugin in plugins:
        if plugin.failure is not None:
            say(str(plugin))


def refuse_missing_files(recipe: Recipe) -> None:
    """FindnaError for every path of the recipe where nothing is."""
    stated = {"data.genome": recipe.data.genome} | {f"evaluation.tasks.{i}": t for i, t in enumerate(recipe.evaluation.tasks)}
    held_out = recipe.data.validation
    if held_out != "auto" and held_out.bed is not None:
        stated["data.validation.bed"] = held_out.bed
    lost = {key: path for key, path in stated.items() if path != "builtin" and not Path(path).exists()}
    if lost:
        raise FindnaError("\n".join(f"{key}: {path}: no such file or folder" for key, path in lost.items()))


def load(source: str, overrides: Sequence[str], without: Sequence[str]) -> tuple[Recipe, Components, list[Plugin]]:
    """A recipe and what it was chosen from; says what its reader remarked."""
    components, plugins = load_plugins(without)
    recipe = load_recipe(source, components, overrides=overrides, failed=[plugin for plugin in plugins if plugin.failure])
    for note in recipe.notes:
        say(note)
    return recipe, components, plugins

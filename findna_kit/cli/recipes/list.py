"""The command `recipes list`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit.cli.console import log, print_table
from findna_kit.cli.lazy import LazyModule
from findna_kit.errors import FindnaError
from findna_kit.plugins.entry_points import RECIPES, enabled_entries, recipes_of

if TYPE_CHECKING:
    from findna_kit.recipe import shipped
else:
    shipped = LazyModule("findna_kit.recipe.shipped")


def list_recipes() -> None:
    """List the recipes of the kit and of installed plugins.

    The description of a recipe is its first comment.
    """
    rows = [["recipe", "description"]]
    for name, path in _all_recipes().items():
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        rows.append([name, first.lstrip("# ") if first.startswith("#") else ""])
    print_table(rows)


def _all_recipes() -> dict[str, Path]:
    """Return the shipped recipes, then those of plugins; log which plugin's recipes cannot be found."""
    recipes = shipped.shipped_recipes()
    for entry in enabled_entries(RECIPES):
        try:
            recipes |= recipes_of(entry)
        except FindnaError as error:
            log(str(error))
    return recipes

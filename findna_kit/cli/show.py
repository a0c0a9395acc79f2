"""The command `show`: print the resolved recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Overrides, RecipeArgument, Without

if TYPE_CHECKING:
    from findna_kit.api import preparation
else:
    preparation = LazyModule("findna_kit.api.preparation")


def show(recipe: RecipeArgument, overrides: Overrides = None, without: Without = None) -> None:
    """Print the resolved recipe with every default filled in."""
    loaded, _, _ = preparation.load(recipe, overrides or [], without or [])
    print(loaded.dump(), end="")  # YAML: a wrapped line would change it

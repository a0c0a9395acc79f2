"""Recipes: a YAML document, its base and the `--set`s in; one typed, complete Recipe out, or every problem at once."""

from findna_kit.recipe.component_spec import ComponentSpec
from findna_kit.recipe.diff import changes, diff, leaves
from findna_kit.recipe.load import load_recipe
from findna_kit.recipe.merge import read_layers
from findna_kit.recipe.schema import Recipe, ViewChoice
from findna_kit.recipe.shipped import shipped_recipes, shipped_task_files

__all__ = [
    "ComponentSpec", "Recipe", "ViewChoice", "changes", "diff", "leaves", "load_recipe", "read_layers", "shipped_recipes",
    "shipped_task_files",
]  # fmt: skip

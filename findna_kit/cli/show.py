"""The command `show`: print a resolved recipe or study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Overrides, RecipeOrStudyArgument, Without, refuse_overrides_of_study

if TYPE_CHECKING:
    from findna_kit.api import preparation
    from findna_kit.study import load as study_files
else:
    preparation, study_files = LazyModule("findna_kit.api.preparation"), LazyModule("findna_kit.study.load")


def show(recipe: RecipeOrStudyArgument, overrides: Overrides = None, without: Without = None) -> None:
    """Print a recipe with every default filled in, or a study with what differs between its conditions."""
    if study_files.is_study(recipe):
        refuse_overrides_of_study(overrides)
        print(preparation.load_study(recipe, without or []).dump(), end="")
        return
    loaded, _, _ = preparation.load(recipe, overrides or [], without or [])
    print(loaded.dump(), end="")  # YAML: a wrapped line would change it

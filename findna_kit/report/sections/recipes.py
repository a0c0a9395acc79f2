"""Section "Recipes": the differences between recipes, and each recipe in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.recipe import leaves
from findna_kit.records.paths import RECIPE
from findna_kit.report.blocks import Code, Note, Section, TableBlock

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from findna_kit.report.blocks import Block
    from findna_kit.report.folders import RunFolder


def recipes_section(part: str, labelled: Sequence[tuple[str, RunFolder]], *, ignored: Collection[str] = ()) -> Section:
    """Return the section. ignored: keys that are left out of the table of differences."""
    with_recipe = [(label, run) for label, run in labelled if run.recipe_text is not None]
    blocks: list[Block] = []
    if len(with_recipe) > 1:
        blocks.append(_differences(with_recipe, ignored))
    blocks += [Code(f"Resolved recipe of {label}", run.recipe_text or "") for label, run in with_recipe]
    blocks += [
        Note(f"{label}: its folder has no {RECIPE}.", missing=True) for label, run in labelled if run.recipe_text is None
    ]
    return Section(f"{part}-recipes", "Recipes", blocks)


def _differences(labelled: Sequence[tuple[str, RunFolder]], ignored: Collection[str]) -> Block:
    """Return the table of keys in which the recipes differ, with a column for each run."""
    # Leaf by leaf, because a difference in one parameter should not show whole sections of the recipe.
    values = [dict(leaves(run.recipe)) for _, run in labelled]
    paths = [path for path in dict.fromkeys(path for by_path in values for path in by_path) if path not in ignored]
    rows = [
        [path, *(by_path.get(path, "not set") for by_path in values)]
        for path in paths
        if len({by_path.get(path) for by_path in values}) > 1
    ]
    if not rows:
        return Note("The resolved recipes are identical.")
    return TableBlock("Keys in which the resolved recipes differ", ["key", *(label for label, _ in labelled)], rows)

"""Recipes: what differs between them, and each whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.recipe import leaves
from findna_kit.records.paths import RECIPE
from findna_kit.report.blocks import Code, Note, Section, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.report.blocks import Block
    from findna_kit.report.folders import Run


def recipes_section(part: str, named: Sequence[tuple[str, Run]], *, own: str = "") -> Section:
    """The keys that not all recipes state alike, and the recipes. own: whose name and seed are left out of the differences."""
    with_recipe = [(label, run) for label, run in named if run.recipe_text is not None]
    blocks: list[Block] = []
    if len(with_recipe) > 1:
        blocks.append(_differences(with_recipe, own))
    blocks += [Code(f"Resolved recipe of {label}", run.recipe_text or "") for label, run in with_recipe]
    blocks += [
        Note(f"{label}: there is no {RECIPE} in its folder.", missing=True) for label, run in named if run.recipe_text is None
    ]
    return Section(f"{part}-recipes", "Recipes", blocks)


def _differences(named: Sequence[tuple[str, Run]], own: str) -> Block:
    trees = [dict(leaves(run.recipe)) for _, run in named]
    paths = [path for path in dict.fromkeys(path for tree in trees for path in tree) if path not in own.split()]
    rows = [
        [path, *(tree.get(path, "not stated") for tree in trees)]
        for path in paths
        if len({tree.get(path) for tree in trees}) > 1
    ]
    if not rows:
        return Note("The resolved recipes state the same, key by key.")
    return Table("Keys of the resolved recipes that differ", ["key", *(label for label, _ in named)], rows)

"""A recipe from its source: layers, schema, and every problem put on its line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import ValidationError

from findna_kit.errors import ComponentClash, UnknownComponent
from findna_kit.recipe.component_spec import ValidationContext
from findna_kit.recipe.error_messages import Issue, explain
from findna_kit.recipe.merge import read_layers
from findna_kit.recipe.node_paths import Grammar, absolute, reach
from findna_kit.recipe.schema import recipe_model
from findna_kit.recipe.shipped import METHODS, OBJECTIVES
from findna_kit.recipe.yaml_nodes import LocatedIssue, Node, dotted, refusal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.recipe.schema import Recipe


def load_recipe(
    source: str | Path,
    components: Components,
    *,
    overrides: Sequence[str] = (),
    folder: Path | None = None,
    failed: Sequence[Plugin] = (),
) -> Recipe:
    """The recipe at `source`, a path or a shipped name, with the `--set`s applied, whose paths start from `folder`.

    Raises RecipeError with every problem at once. failed: plugins that did not load, any of which may be what an unknown
    component is missing.
    """
    layers = read_layers(source, overrides, folder, Grammar.of(components))
    _absolute_files(layers.root, components)
    model = recipe_model(components.kinds)
    reading = ValidationContext(components, tuple(layers.notes))
    while True:
        tree = layers.root.plain()
        try:
            # JSON in strict mode is what YAML can say: a list may be a tuple, but "1", true or 1.0 is no whole number.
            recipe = model.model_validate_json(json.dumps(tree), strict=True, context=reading)
        except ValidationError as error:
            said = explain(error, model, tree, also=("base",))
        else:
            said = []
        if not _drop(layers.root, said):
            break
    found = [*layers.found, *(placed for one in said if (placed := locate(layers.root, one)) is not None)]
    if found:
        raise refusal(found, [*_suppliers(said, failed), *_of_methods(said, str(source))])
    return recipe


def _absolute_files(root: Node, components: Components) -> None:
    """Makes the paths among components' parameters absolute, each from the folder of whoever stated it."""
    nodes = [(kind, node) for kind in components.kinds if kind.path for _, _, node in reach(root, kind.path)]
    for kind, node in nodes:
        named = node.below("name")
        name = kind.default if named is None else named.value
        try:
            component = components.of(kind)[str(name)]
        except (UnknownComponent, ComponentClash):
            continue  # validation reports it
        for path in filter(None, map(node.below, component.Config.paths())):
            absolute(path)


def _drop(root: Node, said: Sequence[Issue]) -> bool:
    """Takes out the nulls that drop a key and were refused as its value; where null is a value, it stays one. True: some."""
    trails = [(trail, one.path) for one in said if len(trail := _trail(root, one.path)) == len(one.path) + 1]
    dropping = [(trail[-2], trail[-1]) for trail, path in trails if path and trail[-1].drops]
    for holder, node in dropping:
        if isinstance(holder.value, dict):
            holder.value = {key: one for key, one in holder.value.items() if one is not node}
        elif isinstance(holder.value, list):
            holder.value = [one for one in holder.value if one is not node]
    return bool(dropping)


def _trail(root: Node, path: Sequence[str | int]) -> list[Node]:
    """The nodes along a path, as far as it exists."""
    trail = [root]
    for part in path:
        below = trail[-1].below(part)
        if below is None:
            break
        trail.append(below)
    return trail


def locate(root: Node, said: Issue) -> LocatedIssue | None:
    """The problem on its line; None where it only follows from what has been reported already."""
    trail = _trail(root, said.path)
    if any(node.refused for node in trail):
        return None
    last = trail[-1]
    whole = len(trail) == len(said.path) + 1
    return LocatedIssue(last.where if whole and not said.at_key else last.key, dotted(said.path), said.message)


def _of_methods(said: Sequence[Issue], source: str) -> list[str]:
    """What a shipped recipe of a published method needs, where a component is unknown."""
    unknown = any(one.unknown for one in said) and source.startswith(f"{METHODS}/")
    return [f"recipes of published methods need {OBJECTIVES}: pip install it"] if unknown else []


def _suppliers(said: Sequence[Issue], failed: Sequence[Plugin]) -> list[str]:
    """Every plugin that failed to load, where a component is unknown that it might have brought."""
    if not any(one.unknown for one in said):
        return []
    broken = [plugin for plugin in failed if plugin.failure is not None]
    return [f"{one.owner} failed to load, and may be what is missing: {' '.join(str(one.failure).split())}" for one in broken]

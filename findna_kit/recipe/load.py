"""Loading of a recipe: merging its layers, validating them, and locating every problem on its line."""

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
    """Return the recipe at `source`, a path or a shipped name, with the overrides (`--set`) applied.

    folder: what paths in the overrides start from; None: the working folder. failed: plugins that did not load; they are listed
    where a component is unknown, since one of them may contain it. Raise RecipeError with every problem at once.
    """
    layers = read_layers(source, overrides, folder, Grammar.of(components))
    # Only the Config of a component says which parameters are paths. Merging knows no components, and has left them relative.
    _absolute_files(layers.root, components)
    model = recipe_model(components.kinds)
    context = ValidationContext(components, tuple(layers.notes))
    # A null drops a key only where null is no value of it, which validation alone knows: it is repeated without such nulls.
    while True:
        tree = layers.root.plain()
        try:
            # JSON in strict mode is what YAML can say: a list may be a tuple, but "1" or true is no whole number.
            recipe = model.model_validate_json(json.dumps(tree), strict=True, context=context)
        except ValidationError as error:
            # Merging has removed `base`, so the model does not have it; a misspelled key may still have meant it.
            issues = explain(error, model, tree, also=("base",))
        else:
            issues = []
        dropped, reread = _drop(layers.root, issues), _reread(layers.root, issues)
        if not (dropped or reread):
            break
    located = [*layers.found, *(found for one in issues if (found := locate(layers.root, one)) is not None)]
    if located:
        raise refusal(located, [*_suppliers(issues, failed), *_of_methods(issues, str(source))])
    return recipe


def _absolute_files(root: Node, components: Components) -> None:
    """Make the paths among the parameters of components absolute, each from the folder of the file that states it."""
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


def _drop(root: Node, issues: Sequence[Issue]) -> bool:
    """Remove the nulls that drop a key and were refused as its value. Return whether there were any.

    A null that the schema accepts is a value, and stays.
    """
    trails = [(trail, one.path) for one in issues if len(trail := _trail(root, one.path)) == len(one.path) + 1]
    dropping = [(trail[-2], trail[-1]) for trail, path in trails if path and trail[-1].drops]
    for holder, node in dropping:
        if isinstance(holder.value, dict):
            holder.value = {key: one for key, one in holder.value.items() if one is not node}
        elif isinstance(holder.value, list):
            holder.value = [one for one in holder.value if one is not node]
    return bool(dropping)


def _reread(root: Node, issues: Sequence[Issue]) -> bool:
    """Read scalars again as the type that is expected at their place. Return whether there were any.

    YAML decides the type of a scalar without knowing the key: a contig called 01 is the text "01", and 1e3 steps are 1000.
    """
    changed = False
    for issue in issues:
        trail = _trail(root, issue.path)
        node = trail[-1]
        if len(trail) != len(issue.path) + 1 or not node.spelling:
            continue
        # Beyond 63 bits a float is no exact whole number, and the reader refuses such numbers anyway.
        if int in issue.wants and isinstance(node.value, float) and node.value.is_integer() and abs(node.value) < 2**63:
            node.value, changed = int(node.value), True
        elif str in issue.wants and isinstance(node.value, (int, float)):
            node.value, changed = node.spelling, True
    return changed


def _trail(root: Node, path: Sequence[str | int]) -> list[Node]:
    """Return the nodes along a path, as far as it exists."""
    trail = [root]
    for part in path:
        below = trail[-1].below(part)
        if below is None:
            break
        trail.append(below)
    return trail


def locate(root: Node, issues: Issue) -> LocatedIssue | None:
    """Return the issue with its line and column, or None where it only follows from an issue that is already reported."""
    trail = _trail(root, issues.path)
    if any(node.refused for node in trail):
        return None
    last = trail[-1]
    # Where the document ends before the path does, a key is missing: shown is the key of the section that lacks it.
    whole = len(trail) == len(issues.path) + 1
    return LocatedIssue(last.where if whole and not issues.at_key else last.key, dotted(issues.path), issues.message)


def _of_methods(issues: Sequence[Issue], source: str) -> list[str]:
    """Return the hint for a shipped recipe of a published method, where a component is unknown."""
    unknown = any(one.unknown for one in issues) and source.startswith(f"{METHODS}/")
    return [f"recipes of published methods need {OBJECTIVES}: pip install it"] if unknown else []


def _suppliers(issues: Sequence[Issue], failed: Sequence[Plugin]) -> list[str]:
    """Return a note for every plugin that failed to load, where a component is unknown."""
    if not any(one.unknown for one in issues):
        return []
    broken = [plugin for plugin in failed if plugin.failure is not None]
    return [f"{one.owner} failed to load, and may contain it: {' '.join(str(one.failure).split())}" for one in broken]

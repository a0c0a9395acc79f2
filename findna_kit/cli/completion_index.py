"""The index of names that shell completion offers, built from the installed kit and plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from findna_kit.errors import FindnaError
from findna_kit.plugins.entry_points import RECIPES, enabled_entries, recipes_of
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import leaves, load_recipe, shipped_recipes, shipped_task_files
from findna_kit.recipe.shipped import shipped_studies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from findna_kit.plugins.registry import Components


class NameIndex(TypedDict):
    """The names by what they are names of; components by kind, and keys of `--set` by recipe."""

    fingerprint: str
    studies: list[str]
    tasks: list[str]
    components: dict[str, list[str]]
    set_keys: dict[str, list[str]]


def build(fingerprint: str) -> NameIndex:
    """Return the index of the installed kit and plugins, which the fingerprint identifies."""
    components, _ = load_plugins(())
    return {
        "fingerprint": fingerprint,
        "studies": list(shipped_studies()),
        "tasks": list(shipped_task_files()),
        "components": {registry.kind: list(registry) for registry in components.registries()},
        "set_keys": {name: _keys(name, components) for name in _recipes()},
    }


def _recipes() -> Iterator[str]:
    """Yield the names of the shipped recipes, then those of plugins."""
    yield from shipped_recipes()
    for entry in enabled_entries(RECIPES):
        try:
            yield from recipes_of(entry)
        except FindnaError:  # its recipes cannot be found; `recipes list` reports why
            continue


def _keys(name: str, components: Components) -> list[str]:
    """Return the keys of a resolved recipe; none if it needs a plugin that is not installed."""
    try:
        # The resolved recipe has every key, also those that its file leaves at their defaults.
        recipe = load_recipe(name, components)
    except FindnaError:
        return []
    return [path for path, _ in leaves(recipe.plain())]

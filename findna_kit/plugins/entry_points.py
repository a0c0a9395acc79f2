"""Installed plugins and what each distribution provides, read from package metadata: nothing here imports a plugin."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPONENTS = "findna_kit"
RECIPES, COMMANDS, REPORTERS = "findna_kit.recipes", "findna_kit.commands", "findna_kit.reporters"
GROUP_LABELS = {COMPONENTS: "components", RECIPES: "recipes", COMMANDS: "command", REPORTERS: "reporter"}
"""Every entry-point group of the kit, and the word for what an entry of it provides."""
PLUGINS_ENV = "FINDNA_KIT_PLUGINS"
"""Environment variable: `none`, or comma-separated names of the plugins (or distributions) that may be used."""
BUILTIN, KIT = "builtin", "findna-kit"
SESSION = "session"
"""Plugin and distribution of what a notebook or a Python session registered; its version is the digest of its source."""
_FOLDER = "recipes"
"""Default folder of a package's recipes, where the entry point names none."""


@dataclass(frozen=True)
class PluginSource:
    """Where something comes from: the name of the entry point, the distribution and its version."""

    plugin: str
    distribution: str
    version: str

    def __str__(self) -> str:
        """Return `plugin (distribution version)`."""
        return f"{self.plugin} ({self.distribution} {self.version})"

    @property
    def is_builtin(self) -> bool:
        """Return whether this is the kit itself, which is always enabled."""
        # Both are compared: a plugin of another distribution that is called `builtin` must not be enabled as the kit.
        return self.plugin == BUILTIN and self.distribution == KIT

    @property
    def is_session(self) -> bool:
        """Return whether this is a notebook or Python session, and not an installed plugin."""
        return self.plugin == SESSION and self.version.startswith("sha256:")


@dataclass(frozen=True)
class PluginEntry:
    """One entry point of one of the groups. enabled: FINDNA_KIT_PLUGINS allows it."""

    owner: PluginSource
    group: str
    entry: EntryPoint
    enabled: bool


def installed() -> list[PluginEntry]:
    """Return every entry of every group: the built-in ones first, then by group and name."""
    everything = entry_points()
    found = [(_source(entry), group, entry) for group in GROUP_LABELS for entry in everything.select(group=group)]
    names = _allowed_names()
    allowed = {source.distribution for source, group, _ in found if group == COMPONENTS and _is_named(source, names)}
    # `allowed`: distributions with an enabled plugin; their recipes, commands and reporters are enabled with it.
    entries = [PluginEntry(source, group, entry, _is_enabled(source, group, names, allowed)) for source, group, entry in found]
    # The kit comes first, so that a message about a name that two plugins register suggests to leave out the other one.
    order = list(GROUP_LABELS)
    return sorted(
        entries,
        key=lambda one: (not one.owner.is_builtin, order.index(one.group), one.owner.plugin, one.owner.distribution),
    )


def enabled_entries(group: str) -> list[PluginEntry]:
    """Return the enabled entries of a group. Raise FindnaError where FINDNA_KIT_PLUGINS has a name that is not installed."""
    entries = installed()
    for message in unknown_names(entries):
        raise FindnaError(message)
    return [entry for entry in entries if entry.group == group and entry.enabled]


def unknown_names(entries: Sequence[PluginEntry]) -> list[str]:
    """Return a message for each name in FINDNA_KIT_PLUGINS that is neither a plugin's nor a distribution's."""
    # Recipes, commands and reporters are enabled by their distribution, so the names of their entries do not count.
    plugins = {entry.owner.plugin for entry in entries if entry.group == COMPONENTS}
    known = plugins | {normal_name(entry.owner.distribution) for entry in entries}
    wrong = sorted(name for name in _allowed_names() or () if name not in known and normal_name(name) not in known)
    listed = ", ".join(sorted(plugins))
    return [f"{PLUGINS_ENV}: no plugin is called {name!r}{nearest(name, known)} (installed: {listed})" for name in wrong]


def unique_entry(entries: Sequence[PluginEntry], name: str, what: str) -> PluginEntry | None:
    """Return the entry of that name, or None. Raise FindnaError, naming both distributions, where two have it."""
    named = [entry for entry in entries if entry.owner.plugin == name]
    if len(named) > 1:
        sources = " and ".join(f"{entry.owner.distribution} {entry.owner.version}" for entry in named)
        raise FindnaError(
            f"{what} {name!r} is claimed by {sources}; uninstall one, or leave its distribution out of {PLUGINS_ENV}"
        )
    return named[0] if named else None


def recipes_of(plugin: PluginEntry) -> dict[str, Path]:
    """Return the recipes of a plugin by full name, `plugin:name`. Its package is located, but not imported.

    Raise FindnaError where there is no such package, no such folder in it, or no recipe in that folder.
    """
    # Only the top package is looked up: finding a subpackage would import its parent.
    top, *below = plugin.entry.module.split(".")
    failure = f"the recipes of {plugin.owner} ({plugin.entry.value}) cannot be found"
    try:
        spec = find_spec(top)
    except ValueError as error:  # a module that has no __spec__
        raise FindnaError(f"{failure}: {error}") from error
    if spec is None or not spec.submodule_search_locations:
        raise FindnaError(f"{failure}: {top} is no installed package")
    inside = Path(*below, *plugin.entry.attr.split(".")) if plugin.entry.attr else Path(*below, _FOLDER)
    folders = [Path(location) / inside for location in spec.submodule_search_locations]
    recipes = {f"{plugin.owner.plugin}:{path.stem}": path for folder in folders for path in sorted(folder.glob("*.yaml"))}
    if not recipes:
        raise FindnaError(f"{failure}: there is no .yaml file in {folders[0]}")
    return recipes


def _source(entry: EntryPoint) -> PluginSource:
    # A distribution whose files were partly deleted may have no name left. The other plugins must still be listed.
    name, version = (entry.dist.name, entry.dist.version) if entry.dist else (None, None)
    return PluginSource(entry.name, name or "unknown", version or "unknown")


def _allowed_names() -> frozenset[str] | None:
    """Return the names in FINDNA_KIT_PLUGINS, or None where it is not set or empty."""
    value = os.environ.get(PLUGINS_ENV, "").strip()
    if not value:
        return None
    return frozenset() if value == "none" else frozenset(name.strip() for name in value.split(",") if name.strip())


def _is_named(source: PluginSource, names: frozenset[str] | None) -> bool:
    if names is None or source.is_builtin or source.plugin in names:
        return True
    return normal_name(source.distribution) in {normal_name(name) for name in names}


def _is_enabled(source: PluginSource, group: str, names: frozenset[str] | None, allowed: set[str]) -> bool:
    if group == COMPONENTS:
        return _is_named(source, names)
    # Recipes, commands and reporters go with the distribution: their own names do not say which plugin they belong to.
    return (
        source.distribution in allowed
        or names is None
        or normal_name(source.distribution) in {normal_name(name) for name in names}
    )


def normal_name(distribution: str) -> str:
    """Return the name of a distribution in the form by which PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", distribution).lower()

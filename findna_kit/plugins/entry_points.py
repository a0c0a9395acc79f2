"""What plugins are installed and what each distribution brings, from metadata alone: nothing here imports one."""

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
"""Every entry-point group that is looked for, and the word for what stands in it."""
PLUGINS_ENV = "FINDNA_KIT_PLUGINS"
"""Environment variable: `none`, or comma-separated names of the plugins (or distributions) that may be used."""
BUILTIN, KIT = "builtin", "findna-kit"
_FOLDER = "recipes"
"""Of a package whose entry point for recipes names no other."""


@dataclass(frozen=True)
class PluginSource:
    """Who brings something: entry-point name, distribution and its version."""

    plugin: str
    distribution: str
    version: str

    def __str__(self) -> str:
        """`plugin (distribution version)`."""
        return f"{self.plugin} ({self.distribution} {self.version})"

    @property
    def is_builtin(self) -> bool:
        """Whether this is the kit itself, which is always let in."""
        return self.plugin == BUILTIN and self.distribution == KIT


@dataclass(frozen=True)
class PluginEntry:
    """One entry point of one of the groups; `enabled`: FINDNA_KIT_PLUGINS does not leave it out."""

    owner: PluginSource
    group: str
    entry: EntryPoint
    enabled: bool


def installed() -> list[PluginEntry]:
    """Every offer of every group; the built-ins first, then by group and name."""
    everything = entry_points()
    found = [(_owner(entry), group, entry) for group in GROUP_LABELS for entry in everything.select(group=group)]
    names = _chosen_names()
    inside = {owner.distribution for owner, group, _ in found if group == COMPONENTS and _named(owner, names)}
    offers = [PluginEntry(owner, group, entry, _is_let_in(owner, group, names, inside)) for owner, group, entry in found]
    order = list(GROUP_LABELS)
    return sorted(
        offers,
        key=lambda one: (not one.owner.is_builtin, order.index(one.group), one.owner.plugin, one.owner.distribution),
    )


def enabled_entries(group: str) -> list[PluginEntry]:
    """The offers of a group that FINDNA_KIT_PLUGINS lets in. Raises FindnaError where it names what is not installed."""
    offers = installed()
    for problem in unknown_names(offers):
        raise FindnaError(problem)
    return [offer for offer in offers if offer.group == group and offer.enabled]


def unknown_names(offers: Sequence[PluginEntry]) -> list[str]:
    """A sentence for each name in FINDNA_KIT_PLUGINS that is neither a plugin's nor a distribution's."""
    plugins = {offer.owner.plugin for offer in offers if offer.group == COMPONENTS}
    known = plugins | {normal_name(offer.owner.distribution) for offer in offers}
    wrong = sorted(name for name in _chosen_names() or () if name not in known and normal_name(name) not in known)
    listed = ", ".join(sorted(plugins))
    return [f"{PLUGINS_ENV}: no plugin is called {name!r}{nearest(name, known)} (installed: {listed})" for name in wrong]


def unique_entry(offers: Sequence[PluginEntry], name: str, what: str) -> PluginEntry | None:
    """The offer of that name, None where there is none. Raises FindnaError that names both owners where there are two."""
    named = [offer for offer in offers if offer.owner.plugin == name]
    if len(named) > 1:
        owners = " and ".join(f"{one.owner.distribution} {one.owner.version}" for one in named)
        raise FindnaError(
            f"{what} {name!r} is claimed by {owners}; uninstall one, or leave its distribution out of {PLUGINS_ENV}"
        )
    return named[0] if named else None


def recipes_of(offer: PluginEntry) -> dict[str, Path]:
    """The recipes of a plugin by full name, `plugin:name`; its package is found, but not imported.

    Raises FindnaError where there is no such package, no such folder in it, or no recipe in that.
    """
    top, *below = offer.entry.module.split(".")
    said = f"the recipes of {offer.owner} ({offer.entry.value}) cannot be found"
    try:
        spec = find_spec(top)
    except ValueError as error:  # a module that has no __spec__
        raise FindnaError(f"{said}: {error}") from error
    if spec is None or not spec.submodule_search_locations:
        raise FindnaError(f"{said}: {top} is no installed package")
    inside = Path(*below, *offer.entry.attr.split(".")) if offer.entry.attr else Path(*below, _FOLDER)
    folders = [Path(place) / inside for place in spec.submodule_search_locations]
    found = {f"{offer.owner.plugin}:{path.stem}": path for folder in folders for path in sorted(folder.glob("*.yaml"))}
    if not found:
        raise FindnaError(f"{said}: there is no .yaml file in {folders[0]}")
    return found


def _owner(entry: EntryPoint) -> PluginSource:
    # A distribution whose files were half removed may have no name left; the others should not suffer from it.
    name, version = (entry.dist.name, entry.dist.version) if entry.dist else (None, None)
    return PluginSource(entry.name, name or "unknown", version or "unknown")


def _chosen_names() -> frozenset[str] | None:
    """The names that FINDNA_KIT_PLUGINS states; None where it states nothing."""
    stated = os.environ.get(PLUGINS_ENV, "").strip()
    if not stated:
        return None
    return frozenset() if stated == "none" else frozenset(name.strip() for name in stated.split(",") if name.strip())


def _named(owner: PluginSource, names: frozenset[str] | None) -> bool:
    if names is None or owner.is_builtin or owner.plugin in names:
        return True
    return normal_name(owner.distribution) in {normal_name(name) for name in names}


def _is_let_in(owner: PluginSource, group: str, names: frozenset[str] | None, inside: set[str]) -> bool:
    if group == COMPONENTS:
        return _named(owner, names)
    # What is beside components goes with the distribution: its own name says little of who brings it.
    return (
        owner.distribution in inside
        or names is None
        or normal_name(owner.distribution) in {normal_name(name) for name in names}
    )


def normal_name(distribution: str) -> str:
    """As PEP 503 compares names of distributions."""
    return re.sub(r"[-_.]+", "-", distribution).lower()

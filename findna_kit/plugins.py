"""Loading plugins: every entry point of the group `findna_kit`, each in its own `try`."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

import pluggy

from findna_kit import hookspecs
from findna_kit.errors import FindnaError, PluginError, nearest
from findna_kit.interfaces import API_VERSION
from findna_kit.registry import Components, Owner

if TYPE_CHECKING:
    from collections.abc import Collection

GROUP = "findna_kit"
BUILTIN = "builtin"


@dataclass(frozen=True)
class Plugin:
    """One installed plugin: who it is, and why it could not be loaded (None: it was)."""

    owner: Owner
    module: str
    failure: str | None = None
    trace: str | None = None

    def __str__(self) -> str:
        """Who it is and, where it failed, the reason in one line."""
        return str(self.owner) if self.failure is None else f"{self.owner} failed to load: {' '.join(self.failure.split())}"


def installed_plugins() -> list[tuple[Owner, EntryPoint]]:
    """Every plugin there is, from metadata alone: nothing is imported. The built-ins first, then by name."""
    found = []
    for entry in entry_points(group=GROUP):
        name, version = (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "unknown")
        found.append((Owner(entry.name, name, version), entry))
    return sorted(found, key=lambda pair: (pair[0].plugin != BUILTIN, pair[0].plugin, pair[0].distribution))


def load_plugins(without: Collection[str] = ()) -> tuple[Components, list[Plugin]]:
    """The components of every installed plugin but those named in `without`, and what became of each plugin.

    A plugin that fails is kept with its reason, and whatever it had registered is taken back. Raises FindnaError for a
    name in `without` that no plugin has.
    """
    available = installed_plugins()
    names = {owner.plugin for owner, _ in available}
    for name in without:
        if name not in names:
            raise FindnaError(
                f"--without {name}: no plugin has that name{nearest(name, names)} (installed: {', '.join(sorted(names))})"
            )
    components, plugins = Components(), []
    for owner, entry in available:
        if owner.plugin in without:
            continue
        try:
            with components.registering(owner):
                _register(entry, owner, components)
        # A stranger's code may raise anything, or exit: that must not spoil a colleague's run.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            reason = f"{type(error).__name__}: {error}"
            plugins.append(Plugin(owner, entry.value, reason, traceback.format_exc()))
        else:
            plugins.append(Plugin(owner, entry.value))
    return components, plugins


def _register(entry: EntryPoint, owner: Owner, components: Components) -> None:
    module = entry.load()
    written_for = getattr(module, "findna_kit_api", API_VERSION)
    if written_for != API_VERSION:
        raise PluginError(
            f"written for version {written_for} of the plugin interface, this FinDNA-Kit has {API_VERSION}: "
            f"install a release of {owner.distribution} made for it"
        )
    # A manager for each plugin: a historic hook runs inside `register`, so whoever fails here is known by name.
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.hook.findna_kit_register.call_historic(kwargs={"registry": components})
    manager.register(module, owner.plugin)
    manager.check_pending()
    if not manager.get_hookcallers(module):
        raise PluginError(f"{entry.value} implements no hook of FinDNA-Kit; define findna_kit_register(registry)")

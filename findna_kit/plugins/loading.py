"""Loading plugins: every entry point of the group `findna_kit`, each in its own `try`."""

from __future__ import annotations

import sys
import traceback
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

from findna_kit.components.hooks import PROJECT
from findna_kit.components.interfaces import API_VERSION
from findna_kit.errors import FindnaError, PluginError, nearest
from findna_kit.plugins import hookspecs
from findna_kit.plugins.entry_points import COMPONENTS, enabled_entries, installed
from findna_kit.plugins.kinds import KINDS
from findna_kit.plugins.registry import Components

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from findna_kit.plugins.entry_points import PluginEntry, PluginSource
    from findna_kit.plugins.kinds import Kind


@dataclass(frozen=True)
class Plugin:
    """One installed plugin: who it is, and why it could not be loaded (None: it was)."""

    owner: PluginSource
    module: str
    failure: str | None = None
    trace: str | None = None

    def __str__(self) -> str:
        """Who it is and, where it failed, the reason in one line."""
        return str(self.owner) if self.failure is None else f"{self.owner} failed to load: {' '.join(self.failure.split())}"


def load_plugins(without: Collection[str] = (), kinds: Sequence[Kind] = KINDS) -> tuple[Components, list[Plugin]]:
    """The components of every plugin that FINDNA_KIT_PLUGINS lets in, and what became of each.

    without: plugins, or distributions, that are left out.

    A plugin that fails is kept with its reason, and whatever it had registered is taken back. Raises FindnaError for a
    name, in either, that no plugin has.
    """
    available = enabled_entries(COMPONENTS)
    if without:
        owners = [offer.owner for offer in installed() if offer.group == COMPONENTS]
        names = {name for owner in owners for name in (owner.plugin, owner.distribution)}
        for name in without:
            if name not in names:
                raise FindnaError(
                    f"--without {name}: no plugin has that name{nearest(name, names)} (installed: {', '.join(sorted(names))})"
                )
    components = Components(kinds)
    wanted = [offer for offer in available if not {offer.owner.plugin, offer.owner.distribution} & set(without)]
    return components, [load_plugin(offer, components) for offer in wanted]


def load_plugin(offer: PluginEntry, components: Components) -> Plugin:
    """Lets one plugin register its components. If it fails, it is kept with its reason and nothing of it is registered."""
    owner, where = offer.owner, offer.entry.value
    try:
        # stdout is for the results of a command; what a module prints when it is imported is none.
        with components.registering(owner), redirect_stdout(sys.stderr):
            _register(offer, components)
    # A stranger's code may raise anything, or exit: that must not spoil a colleague's run.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        return Plugin(owner, where, f"{type(error).__name__}: {error}", traceback.format_exc())
    return Plugin(owner, where)


def written_for(offer: PluginEntry) -> Any:
    """The version of the plugin interface that a plugin states; None where it states none. Imports the plugin."""
    plugin = offer.entry.load()
    return getattr(plugin, "findna_kit_api", getattr(sys.modules[offer.entry.module], "findna_kit_api", None))


def _register(offer: PluginEntry, components: Components) -> None:
    owner, plugin = offer.owner, offer.entry.load()
    _refuse_version(written_for(offer), offer)
    # A manager for each plugin: a historic hook runs inside `register`, so whoever fails here is known by name.
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.hook.findna_kit_register.call_historic(kwargs={"registry": components})
    manager.register(plugin, owner.plugin)
    manager.check_pending()
    if not manager.get_hookcallers(plugin):
        raise PluginError(f"{offer.entry.value} implements no hook of FinDNA-Kit; define findna_kit_register(registry)")


def _refuse_version(stated: Any, offer: PluginEntry) -> None:
    if stated is None:
        raise PluginError(
            f"{offer.entry.module} does not state the version of the plugin interface that it was written for: "
            f"add `findna_kit_api = {API_VERSION}` to it, beside the hook"
        )
    if stated != API_VERSION:
        raise PluginError(
            f"written for version {stated} of the plugin interface, this FinDNA-Kit has {API_VERSION}: "
            f"install a release of {offer.owner.distribution} made for it"
        )

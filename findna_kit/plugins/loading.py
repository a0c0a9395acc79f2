"""Loading of plugins: every entry point of the group `findna_kit`, each in its own `try`."""

from __future__ import annotations

import re
import sys
import traceback
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from findna_kit.components.hooks import PROJECT
from findna_kit.components.interfaces import API_VERSION
from findna_kit.errors import FindnaError, PluginError, nearest
from findna_kit.plugins import hookspecs
from findna_kit.plugins.entry_points import COMPONENTS, SESSION, enabled_entries, installed
from findna_kit.plugins.kinds import KINDS
from findna_kit.plugins.registry import Components
from findna_kit.plugins.session import session_components

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from findna_kit.plugins.entry_points import PluginEntry, PluginSource
    from findna_kit.plugins.kinds import Kind


@dataclass(frozen=True)
class Plugin:
    """One installed plugin. failure: why it could not be loaded, trace: the traceback; both None if it was loaded."""

    owner: PluginSource
    module: str
    failure: str | None = None
    trace: str | None = None

    def __str__(self) -> str:
        """Return its name and, if it failed, the reason, on one line."""
        return str(self.owner) if self.failure is None else f"{self.owner} failed to load: {' '.join(self.failure.split())}"


def load_plugins(without: Collection[str] = (), kinds: Sequence[Kind] = KINDS) -> tuple[Components, list[Plugin]]:
    """Load every plugin that FINDNA_KIT_PLUGINS allows. Return their components, and the outcome for each plugin.

    without: names of plugins or distributions to leave out; `session`: what this session registered. kinds: the table of kinds.

    A plugin that fails is returned with its reason, and what it had registered is removed. Raise FindnaError for a name, in
    FINDNA_KIT_PLUGINS or in `without`, that no plugin has.
    """
    available = enabled_entries(COMPONENTS)
    if without:
        # All installed plugins and not the enabled ones alone: leaving out what FINDNA_KIT_PLUGINS excludes is no mistake.
        sources = [entry.owner for entry in installed() if entry.group == COMPONENTS]
        names = {name for source in sources for name in (source.plugin, source.distribution)}
        for name in without:
            if name not in names and name != SESSION:
                raise FindnaError(
                    f"--without {name}: no plugin has that name{nearest(name, names)} (installed: {', '.join(sorted(names))})"
                )
    components = Components(kinds)
    selected = [entry for entry in available if not {entry.owner.plugin, entry.owner.distribution} & set(without)]
    plugins = [load_plugin(entry, components) for entry in selected]
    for one in session_components(without):
        with components.registering(one.owner):
            components.of(one.kind).add(one.name, one.component)
        plugins.append(Plugin(one.owner, f"{one.component.__module__}:{one.component.__qualname__}"))
    return components, plugins


def load_plugin(plugin: PluginEntry, components: Components) -> Plugin:
    """Let one plugin register its components. If it fails, return it with the reason; nothing of it stays registered."""
    owner, module = plugin.owner, plugin.entry.value
    try:
        # stdout is for the results of commands; a module may print when it is imported.
        with components.registering(owner), redirect_stdout(sys.stderr):
            _register(plugin, components)
    # A plugin may raise anything, or exit. It must not break runs that do not use it.
    # KeyboardInterrupt passes through: it comes from the user and is no failure of the plugin.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        return Plugin(owner, module, f"{type(error).__name__}: {error}", traceback.format_exc())
    return Plugin(owner, module)


def written_for(plugin: PluginEntry) -> Any:
    """Return the version of the plugin interface that a plugin states, or None if it states none. Import the plugin."""
    loaded = plugin.entry.load()
    # An entry point may name an object in a module. The version is read from the object, or else from its module.
    return getattr(loaded, "findna_kit_api", getattr(sys.modules[plugin.entry.module], "findna_kit_api", None))


def _register(plugin: PluginEntry, components: Components) -> None:
    # Before the import: a plugin of an older version fails on modules that have moved, which says little to its users.
    if (version := version_in_source(plugin)) is not None:
        _refuse_version(version, plugin)
    loaded = plugin.entry.load()
    _refuse_version(written_for(plugin), plugin)
    # One manager per plugin: a historic hook runs inside `register`, so an error belongs to this plugin.
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.hook.findna_kit_register.call_historic(kwargs={"registry": components})
    manager.register(loaded, plugin.owner.plugin)
    # Registering accepts a hook of any name. This raises for one that has no specification, such as a misspelt one.
    manager.check_pending()
    # A function without the decorator `hookimpl` is no hook, and pluggy reports neither that nor an empty module.
    if not manager.get_hookcallers(loaded):
        raise PluginError(f"{plugin.entry.value} implements no hook of FinDNA-Kit; define findna_kit_register(registry)")


def version_in_source(plugin: PluginEntry) -> int | None:
    """Return the version that the text of a plugin's module assigns, or None where it cannot be told without an import."""
    if "." in plugin.entry.module:  # finding a submodule would import its package
        return None
    try:
        spec = find_spec(plugin.entry.module)
        text = Path(spec.origin).read_text(encoding="utf-8") if spec is not None and spec.origin is not None else ""
    except (ValueError, OSError):  # a module without a spec, or one that is no readable text
        return None
    match = re.search(r"^findna_kit_api *= *(\d+)", text, re.MULTILINE)
    return int(match[1]) if match else None


def _refuse_version(version: Any, plugin: PluginEntry) -> None:
    """Raise PluginError unless the version is that of this kit's interface."""
    if version is None:
        raise PluginError(
            f"{plugin.entry.module} does not state the version of the plugin interface that it was written for: "
            f"add `findna_kit_api = {API_VERSION}` to it, beside the hook"
        )
    if version != API_VERSION:
        raise PluginError(
            f"written for version {version} of the plugin interface, this FinDNA-Kit has {API_VERSION}: "
            f"install a release of {plugin.owner.distribution} made for it"
        )

"""Import one plugin in this process and describe what it provides.

`plugins doctor` starts a process of this module for each plugin, so that none can affect the others. Its one argument is JSON:
the module search path (`path`), the entry point (`offer`), the time limit (`seconds`) and the file of the result (`result`).
"""

from __future__ import annotations

import faulthandler
import json
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.plugin_commands import load_command
from findna_kit.errors import FindnaError
from findna_kit.plugins.entry_points import COMMANDS, COMPONENTS, RECIPES, REPORTERS, installed, recipes_of

if TYPE_CHECKING:
    from findna_kit.plugins import loading, registry
    from findna_kit.plugins.entry_points import PluginEntry
    from findna_kit.runs import reporters
else:
    # torch is imported only for the groups that need it: a plugin with recipes alone is examined quickly.
    loading, registry = LazyModule("findna_kit.plugins.loading"), LazyModule("findna_kit.plugins.registry")
    reporters = LazyModule("findna_kit.runs.reporters")


class Examination(TypedDict):
    """What a plugin provides by kind and the API version that it states, or its failure and traceback."""

    api: int | str | None
    brings: dict[str, list[str]]
    failure: str | None
    trace: str | None


def main() -> None:
    """Examine the plugin that the argument names and write the result to the file that it names."""
    request = json.loads(sys.argv[1])
    # A crash in native code, or an import that hangs, leaves a traceback in the output instead of nothing.
    faulthandler.enable()
    faulthandler.dump_traceback_later(request["seconds"])
    (entry,) = [entry for entry in installed() if identity(entry) == request["offer"]]
    result = json.dumps(examine(entry))
    Path(request["result"]).write_text(result, encoding="utf-8")


def identity(entry: PluginEntry) -> list[str]:
    """Return the values that distinguish an entry point from all others."""
    return [entry.group, entry.owner.plugin, entry.owner.distribution, entry.owner.version, entry.entry.value]


def examine(entry: PluginEntry) -> Examination:
    """Import the entry point and return what it provides, or why it fails."""
    examiners = {COMPONENTS: _components, RECIPES: _recipes, COMMANDS: _command, REPORTERS: _reporter}
    try:
        return examiners[entry.group](entry)
    except FindnaError as error:
        # The exception of the plugin itself says more than the message that it was turned into.
        cause = error.__cause__ or error
        return {"api": None, "brings": {}, "failure": str(error), "trace": "".join(traceback.format_exception(cause))}


def _provides(kind: str, names: list[str]) -> Examination:
    """Return the examination of a plugin that provides these names and has no interface version."""
    return {"api": None, "brings": {kind: names}, "failure": None, "trace": None}


def _components(entry: PluginEntry) -> Examination:
    """Register the components of the plugin in an empty registry and list them."""
    components = registry.Components()
    plugin = loading.load_plugin(entry, components)
    # A plugin of another version is refused before it is imported; its version is then read from its text.
    module = sys.modules.get(entry.entry.module)
    api = loading.version_in_source(entry) if module is None else getattr(module, "findna_kit_api", None)
    return {
        # Anything may stand there; what is not a number is shown as text.
        "api": api if api is None or isinstance(api, int) else str(api),
        "brings": {each.kind: list(each) for each in components.registries() if len(each)},
        "failure": plugin.failure,
        "trace": plugin.trace,
    }


def _recipes(entry: PluginEntry) -> Examination:
    """List the recipes of the plugin; its package is found but not imported."""
    return _provides("recipes", list(recipes_of(entry)))


def _command(entry: PluginEntry) -> Examination:
    """Import the command of the plugin."""
    load_command(entry)
    return _provides("command", [entry.owner.plugin])


def _reporter(entry: PluginEntry) -> Examination:
    """Import the reporter of the plugin."""
    reporters.load_reporter(entry)
    return _provides("reporter", [entry.owner.plugin])

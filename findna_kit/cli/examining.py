"""One plugin, looked at in this process: what `plugins doctor` starts for each, so that none can spoil the others.

Its one argument is JSON: where modules are found (`path`), the `offer`, the time limit (`seconds`), where the `result` goes.
"""

from __future__ import annotations

import faulthandler
import json
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from findna_kit.errors import FindnaError
from findna_kit.plugins.entry_points import COMMANDS, COMPONENTS, RECIPES, REPORTERS, installed, recipes_of

if TYPE_CHECKING:
    from findna_kit.plugins.entry_points import PluginEntry


def main() -> None:
    """Examines the plugin that the first argument asks for, and writes what came out where it says."""
    asked = json.loads(sys.argv[1])
    faulthandler.enable()
    faulthandler.dump_traceback_later(asked["seconds"])
    (offer,) = [offer for offer in installed() if identity(offer) == asked["offer"]]
    result = json.dumps(examine(offer))
    Path(asked["result"]).write_text(result, encoding="utf-8")


def identity(offer: PluginEntry) -> list[str]:
    """What tells an offer from every other one."""
    return [offer.group, offer.owner.plugin, offer.owner.distribution, offer.owner.version, offer.entry.value]


def examine(offer: PluginEntry) -> dict[str, Any]:
    """What the offer brings, by kind, and the API version that it states; or its `failure` and `trace`."""
    looks = {COMPONENTS: _components, RECIPES: _recipes, COMMANDS: _command, REPORTERS: _reporter}
    found: dict[str, Any] = {"api": None, "brings": {}, "failure": None, "trace": None}
    try:
        found |= looks[offer.group](offer)
    except FindnaError as error:
        # What the plugin raised itself says more than the sentence that it was turned into.
        told = error.__cause__ or error
        found |= {"failure": str(error), "trace": "".join(traceback.format_exception(told))}
    return found


def _components(offer: PluginEntry) -> dict[str, Any]:
    from findna_kit.plugins.loading import load_plugin
    from findna_kit.plugins.registry import Components

    components = Components()
    plugin = load_plugin(offer, components)
    stated = getattr(sys.modules.get(offer.entry.module), "findna_kit_api", None)
    return {
        "api": stated if stated is None or isinstance(stated, int) else str(stated),
        "brings": {registry.kind: list(registry) for registry in components.registries() if len(registry)},
        "failure": plugin.failure,
        "trace": plugin.trace,
    }


def _recipes(offer: PluginEntry) -> dict[str, Any]:
    return {"brings": {"recipes": list(recipes_of(offer))}}


def _command(offer: PluginEntry) -> dict[str, Any]:
    from findna_kit.cli.extending import load_command

    load_command(offer)
    return {"brings": {"command": [offer.owner.plugin]}}


def _reporter(offer: PluginEntry) -> dict[str, Any]:
    from findna_kit.runs.reporters import load_reporter

    load_reporter(offer)
    return {"brings": {"reporter": [offer.owner.plugin]}}

"""The command `components`: what a recipe can choose."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from findna_kit.cli.console import print_line, print_table
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Json, Wide, Without
from findna_kit.errors import UnknownComponent, nearest

if TYPE_CHECKING:
    from findna_kit.cli import parameters, preparation
    from findna_kit.plugins import loading
    from findna_kit.plugins.registry import Components
else:
    parameters, preparation = LazyModule("findna_kit.cli.parameters"), LazyModule("findna_kit.cli.preparation")
    loading = LazyModule("findna_kit.plugins.loading")


def components(
    name: Annotated[str | None, typer.Argument(metavar="[KIND|NAME]", help="A kind, or the name of a component.")] = None,
    wide: Wide = False,
    as_json: Json = False,
    without: Without = None,
) -> None:
    """List the components that a recipe can choose, or print one with its parameters.

    With --wide or --json, or for a single component, the package and version that provide it are printed as well.
    """
    with preparation.collector_paused():
        loaded, plugins = loading.load_plugins(without or [])
        preparation.log_failures(plugins)
        entries, single = _entries(loaded, name, with_parameters=as_json)
    if as_json:
        print(json.dumps(entries, indent=1))
    elif wide or single:
        print_table([["kind", "name", "from", "description"], *([e["kind"], e["name"], e["from"], _does(e)] for e in entries)])
    else:
        _print_by_kind(entries)
    if single and not as_json:
        for entry in entries:
            _print_parameters(entry)


def _entries(loaded: Components, name: str | None, *, with_parameters: bool) -> tuple[list[dict[str, Any]], bool]:
    """Return a record of each component that matches the name, and whether the name is that of a single component."""
    registries = {registry.kind: registry for registry in loaded.registries()}
    matches = [(kind, each) for kind, registry in registries.items() for each in registry if name in (None, kind, each)]
    if not matches:
        known = [*registries, *(each for registry in registries.values() for each in registry)]
        raise UnknownComponent(
            f"no kind or component is called {name!r}{nearest(str(name), known)} (kinds: {', '.join(registries)})"
        )
    single = name is not None and name not in registries
    entries: list[dict[str, Any]] = []
    for kind, each in matches:
        owners = registries[kind].owners(each)
        sources = " and ".join(f"{owner.distribution} {owner.version}" for owner in owners)
        entry: dict[str, Any] = {"kind": kind, "name": each, "from": sources}
        if len(owners) == 1:  # a name of two plugins stands for no class
            component = registries[kind][each]
            entry["does"] = (component.__doc__ or "").strip().partition("\n")[0]
            if single or with_parameters:
                entry["parameters"] = parameters.parameters(component.Config)
        entries.append(entry)
    return entries, single


def _does(entry: dict[str, Any]) -> str:
    return str(entry.get("does", "claimed twice"))


def _print_by_kind(entries: Sequence[dict[str, Any]]) -> None:
    """Print a table of names and descriptions for each kind; the kind is the title of the first column."""
    for number, (kind, group) in enumerate(groupby(entries, key=lambda entry: entry["kind"])):
        print("\n" * (number > 0), end="")
        print_table([[kind, "description"], *([entry["name"], _does(entry)] for entry in group)])


def _print_parameters(entry: dict[str, Any]) -> None:
    if entry.get("parameters"):
        columns = ("name", "type", "default", "meaning")
        rows = [[parameter[column] for column in columns] for parameter in entry["parameters"]]
        print()
        print_table([["parameter", *columns[1:]], *rows])
    elif "parameters" in entry:
        print_line("\nIt has no parameters.")

"""The command `components`: what a recipe can choose."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from findna_kit.cli.completion import complete_component
from findna_kit.cli.console import print_line, print_table
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Json, Wide, Without
from findna_kit.cli.plugin_failures import collector_paused, log_failures
from findna_kit.errors import UnknownComponent, nearest

if TYPE_CHECKING:
    from findna_kit.cli import parameters
    from findna_kit.plugins import loading
    from findna_kit.plugins.registry import Components
else:
    parameters = LazyModule("findna_kit.cli.parameters")
    loading = LazyModule("findna_kit.plugins.loading")


def components(
    name: Annotated[
        str | None,
        typer.Argument(metavar="KIND|NAME", autocompletion=complete_component, help="A kind, or the name of a component."),
    ] = None,
    wide: Wide = False,
    as_json: Json = False,
    without: Without = None,
) -> None:
    """List the components that a recipe can choose, or print one with its parameters.

    With --wide or --json, or for a single component, the package and version that provide it are printed as well.
    """
    # Printing allocates little, so the collector is paused only while plugins are imported and components described.
    with collector_paused():
        loaded, plugins = loading.load_plugins(without or [])
        log_failures(plugins)
        entries, single = _entries(loaded, name, with_parameters=as_json)
    if as_json:
        print(json.dumps([entry.record() for entry in entries], indent=1))
    elif wide or single:
        print_table([["kind", "name", "from", "description"], *([e.kind, e.name, e.sources, e.description] for e in entries)])
    else:
        _print_by_kind(entries)
    if single and not as_json:
        for entry in entries:
            _print_parameters(entry)


@dataclass(frozen=True)
class _Entry:
    """A component. `does` and `parameters` are None for a name of two plugins, which stands for no class."""

    kind: str
    name: str
    sources: str
    does: str | None = None
    parameters: list[dict[str, str]] | None = None

    @property
    def description(self) -> str:
        """Return what the component does, in one line."""
        return "claimed twice" if self.does is None else self.does

    def record(self) -> dict[str, object]:
        """Return the component as JSON, without what is not known."""
        record = {"kind": self.kind, "name": self.name, "from": self.sources, "does": self.does, "parameters": self.parameters}
        return {key: value for key, value in record.items() if value is not None}


def _entries(loaded: Components, name: str | None, *, with_parameters: bool) -> tuple[list[_Entry], bool]:
    """Return the components that match the name, and whether the name is that of a single component."""
    registries = {registry.kind: registry for registry in loaded.registries()}
    matches = [(kind, each) for kind, registry in registries.items() for each in registry if name in (None, kind, each)]
    if not matches:
        known = [*registries, *(each for registry in registries.values() for each in registry)]
        raise UnknownComponent(
            f"no kind or component is called {name!r}{nearest(str(name), known)} (kinds: {', '.join(registries)})"
        )
    single = name is not None and name not in registries
    entries = []
    for kind, each in matches:
        owners = registries[kind].owners(each)
        sources = " and ".join(f"{owner.distribution} {owner.version}" for owner in owners)
        if len(owners) > 1:
            entries.append(_Entry(kind, each, sources))
            continue
        component = registries[kind][each]
        does = (component.__doc__ or "").strip().partition("\n")[0]
        fields = parameters.parameters(component.Config) if single or with_parameters else None
        entries.append(_Entry(kind, each, sources, does, fields))
    return entries, single


def _print_by_kind(entries: Sequence[_Entry]) -> None:
    """Print a table of names and descriptions for each kind; the kind is the title of the first column."""
    for number, (kind, group) in enumerate(groupby(entries, key=lambda entry: entry.kind)):
        print("\n" * (number > 0), end="")
        print_table([[kind, "description"], *([entry.name, entry.description] for entry in group)])


def _print_parameters(entry: _Entry) -> None:
    """Print the parameters of a component; nothing if two plugins provide its name."""
    if entry.parameters:
        columns = ("name", "type", "default", "meaning")
        rows = [[parameter[column] for column in columns] for parameter in entry.parameters]
        print()
        print_table([["parameter", *columns[1:]], *rows])
    elif entry.parameters is not None:
        print_line("\nIt has no parameters.")

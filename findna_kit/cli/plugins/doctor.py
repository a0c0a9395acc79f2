"""The command `plugins doctor`: import each plugin in its own process, with a time limit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, TypedDict

import typer

from findna_kit.cli.command_table import COMMANDS as KIT_COMMANDS
from findna_kit.cli.completion import complete_plugin
from findna_kit.cli.console import log, print_line
from findna_kit.cli.options import Json
from findna_kit.cli.plugins.child_process import ChildResult, examine_all
from findna_kit.errors import FindnaError, nearest
from findna_kit.plugins.entry_points import (
    COMMANDS,
    COMPONENTS,
    GROUP_LABELS,
    KIT,
    PLUGINS_ENV,
    PluginEntry,
    PluginSource,
    installed,
    unknown_names,
)

FOUND_SOMETHING = 3
"""Exit code when a plugin is broken or a name is claimed twice."""
_TRACEBACK_LINES = 8


def doctor(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PLUGIN",
            autocompletion=complete_plugin,
            help="Examine these plugins and the built-in components. [default: all]",
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1, help="Allow each import to take this long.")
    ] = 60,
    as_json: Json = False,
) -> None:
    """Import each plugin in its own process and report what it provides or why it fails.

    Names that two plugins register are reported as well. The exit code is 3 if anything is wrong.
    """
    # Plugins that FINDNA_KIT_PLUGINS leaves out are examined as well.
    everything = installed()
    entries = _requested(names or [], everything)
    log(f"importing {len(entries)} plugins, each in its own process and for at most {timeout:g} s")
    diagnoses = [_Diagnosis(entry, result) for entry, result in zip(entries, examine_all(entries, timeout), strict=True)]
    # Clashes show only once every plugin has been examined.
    clashes, unknown = list(_clashes(diagnoses)), unknown_names(everything)
    broken = [diagnosis for diagnosis in diagnoses if diagnosis.failed]
    if as_json:
        records = [diagnosis.record() for diagnosis in diagnoses]
        print(json.dumps({"plugins": records, "clashes": clashes, "unknown": unknown}, indent=1, default=asdict))
    else:
        lines = [line for diagnosis in diagnoses for line in diagnosis.lines()]
        for line in [*lines, *(clash["said"] for clash in clashes), *unknown]:
            print_line(line)
        names_text = f"{len(clashes)} name{'s are' if len(clashes) != 1 else ' is'} claimed twice"
        print_line(f"\n{len(diagnoses)} examined: {len(broken)} broken, {names_text}")
    if broken or clashes or unknown:
        raise typer.Exit(FOUND_SOMETHING)


def _requested(names: Sequence[str], entries: Sequence[PluginEntry]) -> list[PluginEntry]:
    """Return the entries of these plugins or distributions, or all. Raises FindnaError for an unknown name."""
    known = {name for entry in entries for name in (entry.owner.plugin, entry.owner.distribution)}
    for name in names:
        if name not in known:
            raise FindnaError(f"no plugin is called {name!r}{nearest(name, known)} (findna-kit plugins list shows all)")
    requested = [entry for entry in entries if not names or {entry.owner.plugin, entry.owner.distribution} & set(names)]
    if any(entry.group == COMPONENTS for entry in requested):  # their names may clash with those of the built-ins
        requested = [*(entry for entry in entries if entry.owner.is_builtin and entry not in requested), *requested]
    return requested


@dataclass(frozen=True)
class _Diagnosis:
    """An entry point and the result of its process."""

    entry: PluginEntry
    result: ChildResult

    @property
    def failed(self) -> bool:
        """Return whether the plugin is broken."""
        return self.result["failure"] is not None

    def record(self) -> dict[str, object]:
        """Return the diagnosis as JSON; `let_in` is the key of version 0.1 for an enabled plugin."""
        owner = self.entry.owner
        return {
            "plugin": owner.plugin, "distribution": owner.distribution, "version": owner.version,
            "module": self.entry.entry.value, "group": self.entry.group, "let_in": self.entry.enabled, **self.result,
        }  # fmt: skip

    def lines(self) -> Iterator[str]:
        """Yield the plugin, then what it provides, or its failure and the end of the traceback."""
        version = "" if self.result["api"] is None else f", interface {self.result['api']}"
        failure = self.result["failure"]
        yield f"{self.entry.owner}: {GROUP_LABELS[self.entry.group]}{version}{', BROKEN' if self.failed else ''}"
        if not self.entry.enabled:
            yield f"  left out by {PLUGINS_ENV}, but examined all the same"
        if failure is None:
            yield from (f"  {kind}: {', '.join(names)}" for kind, names in self.result["brings"].items())
            return
        yield f"  {' '.join(failure.split())}"
        # The last lines name the error; the whole traceback is in --json.
        trace = (self.result["trace"] or self.result["output"]).splitlines()[-_TRACEBACK_LINES:]
        yield from (f"  | {line}" for line in trace)


class _Clash(TypedDict):
    """A name that several plugins register. `said` is the message: version 0.1 printed it under this key."""

    kind: str
    name: str
    owners: list[PluginSource]
    said: str


def _clashes(diagnoses: Sequence[_Diagnosis]) -> Iterator[_Clash]:
    """Yield every name of a plugin, component, command, reporter or folder of recipes that two plugins register."""
    owners_of: dict[tuple[str, str], list[PluginSource]] = {}
    for diagnosis in diagnoses:
        owner, group = diagnosis.entry.owner, diagnosis.entry.group
        owners_of.setdefault(("plugin" if group == COMPONENTS else GROUP_LABELS[group], owner.plugin), []).append(owner)
        for kind, names in diagnosis.result["brings"].items() if group == COMPONENTS else ():
            for name in names:
                owners_of.setdefault((kind, name), []).append(owner)
    for (kind, name), owners in owners_of.items():
        advice = _advice(kind, name, owners)
        if advice is not None:
            message = f"{kind} {name!r} is claimed by {' and '.join(map(str, owners))}; {advice}"
            yield {"kind": kind, "name": name, "owners": owners, "said": message}


def _advice(kind: str, name: str, owners: Sequence[PluginSource]) -> str | None:
    """Return what to do about a name with several owners, or None if there is no clash."""
    if kind == GROUP_LABELS[COMMANDS] and name in KIT_COMMANDS:
        return f"{KIT} has a command of that name, and its own is the one that is called"
    if len(owners) == 1:
        return None
    if kind == "plugin" or kind in GROUP_LABELS.values():
        return "uninstall one"
    return f"leave one out with --without {owners[-1].plugin}"

"""The command `plugins test`: the conformance checks of an installed plugin."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from findna_kit.cli.completion import complete_plugin
from findna_kit.cli.console import log, print_line, print_table
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Json
from findna_kit.errors import PluginError

if TYPE_CHECKING:
    from findna_kit.testing import packages
    from findna_kit.testing.packages import Conformance
else:
    packages = LazyModule("findna_kit.testing.packages")

FOUND_SOMETHING = 3
"""Exit code when a check fails or the plugin does not load."""


class CheckRecord(TypedDict):
    """The result of one check on one component, as JSON. `check` is None for a component that states no examples."""

    kind: str
    name: str
    parameters: dict[str, object] | None
    component: str
    check: str | None
    result: str
    faults: list[str]


def test_plugin(
    package: Annotated[
        str,
        typer.Argument(
            metavar="PACKAGE", autocompletion=complete_plugin, help="Name of an installed plugin, or of its distribution."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Run the conformance checks on the components of a plugin.

    The checks test what the kit requires of each kind of component. The exit code is 3 if one fails.
    """
    try:
        conformances = packages.conformances(package)
    except PluginError as error:
        log(str(error))
        raise typer.Exit(FOUND_SOMETHING) from None
    log(f"{package}: {len(conformances)} checks")
    records = [_run(conformance) for conformance in conformances]
    if as_json:
        print(json.dumps(records, indent=1))
    else:
        _print(records)
    if any(record["faults"] for record in records):
        raise typer.Exit(FOUND_SOMETHING)


def _run(conformance: Conformance) -> CheckRecord:
    """Run one check and return its result."""
    faults = list(conformance.faults())
    checked = conformance.case is not None
    return {
        "kind": conformance.kind,
        "name": conformance.name,
        "parameters": dict(conformance.case.parameters) if conformance.case is not None else None,
        "component": conformance.component,
        "check": conformance.criterion.name if conformance.criterion is not None else None,
        "result": ("fails" if faults else "passes") if checked else "not checked",
        "faults": faults if checked else [],
    }


def _print(records: Sequence[CheckRecord]) -> None:
    """Print a table of all checks, then each fault with the parameters of the component, then the totals."""
    rows = [[record["component"], record["check"] or "-", record["result"]] for record in records]
    print_table([["component", "check", "result"], *rows])
    for record in records:
        for fault in record["faults"]:
            print_line(f"\n{record['component']} {record['parameters']}\n  {record['check']}: {fault}")
    failed = [record for record in records if record["faults"]]
    unchecked = [record["component"] for record in records if record["check"] is None]
    if unchecked:
        print_line(f"\nnot checked, because they have no `examples`: {', '.join(unchecked)}")
    checked = len(records) - len(unchecked)
    print_line(f"\n{len(failed)} of {checked} checks fail" if failed else f"\nall {checked} checks pass")

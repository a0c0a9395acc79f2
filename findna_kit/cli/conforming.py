"""The command plugins test: the conformance checks of an installed package, and in words what fails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from findna_kit.cli.loading import say
from findna_kit.cli.progress import table
from findna_kit.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.testing.packages import Conformance

FOUND_SOMETHING = 3


def test(package: str, *, as_json: bool) -> None:
    """Checks every component of a package; exit code 3 where one does not conform, or the package does not load.

    Raises FindnaError where no such package is installed.
    """
    from findna_kit.testing.packages import conformances

    try:
        found = conformances(package)
    except PluginError as error:
        say(str(error))
        raise typer.Exit(FOUND_SOMETHING) from None
    say(f"{package}: {len(found)} checks")
    rows = [_row(one) for one in found]
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        _show(rows)
    if any(row["faults"] for row in rows):
        raise typer.Exit(FOUND_SOMETHING)


def _row(one: Conformance) -> dict[str, Any]:
    faults = one.faults()
    checked = one.case is not None
    return {
        "kind": one.kind,
        "name": one.name,
        "parameters": dict(one.case.parameters) if one.case is not None else None,
        "component": one.component,
        "check": one.criterion.name if one.criterion is not None else None,
        "result": ("fails" if faults else "passes") if checked else "not checked",
        "faults": faults if checked else [],
    }


def _show(rows: Sequence[dict[str, Any]]) -> None:
    table([["component", "check", "result"], *([row["component"], row["check"] or "-", row["result"]] for row in rows)])
    for row in rows:
        for fault in row["faults"]:
            print(f"\n{row['component']} {row['parameters']}\n  {row['check']}: {fault}")
    failed = [row for row in rows if row["faults"]]
    idle = [row["component"] for row in rows if row["check"] is None]
    if idle:
        print(f"\nnot checked, for want of `examples`: {', '.join(idle)}")
    checked = len(rows) - len(idle)
    print(f"\n{len(failed)} of {checked} checks fail" if failed else f"\nall {checked} checks pass")

"""The command `plugins list`."""

from __future__ import annotations

import json

from findna_kit.cli.console import log, print_table
from findna_kit.cli.options import Json, Wide
from findna_kit.cli.tables import select
from findna_kit.plugins.entry_points import GROUP_LABELS, PLUGINS_ENV, PluginEntry, installed, unknown_names

_COLUMNS = ("plugin", "distribution", "version", "module", "brings")
_MAIN_COLUMNS = (0, 1, 2, 4)
"""All columns but the module."""


def list_plugins(wide: Wide = False, as_json: Json = False) -> None:
    """List installed plugins without importing them.

    --wide also prints the module of each entry point.
    """
    entries = installed()
    for problem in unknown_names(entries):
        log(problem)
    if as_json:
        print(json.dumps([_record(entry) for entry in entries], indent=1))
        return
    rows = [list(_COLUMNS), *([str(_record(entry)[column]) for column in _COLUMNS] for entry in entries)]
    table = rows if wide else select(rows, *_MAIN_COLUMNS)
    if not all(entry.enabled for entry in entries):  # a column that would be empty otherwise
        table = [[*table[0], ""], *([*row, _exclusion(entry)] for row, entry in zip(table[1:], entries, strict=True))]
    print_table(table)


def _record(entry: PluginEntry) -> dict[str, str | bool]:
    """Return the entry point as JSON; `let_in` is the key of version 0.1 for an enabled plugin."""
    return {
        "plugin": entry.owner.plugin, "distribution": entry.owner.distribution, "version": entry.owner.version,
        "module": entry.entry.value, "brings": GROUP_LABELS[entry.group], "let_in": entry.enabled,
    }  # fmt: skip


def _exclusion(entry: PluginEntry) -> str:
    """Return why a plugin is not used, or nothing."""
    return "" if entry.enabled else f"left out by {PLUGINS_ENV}"

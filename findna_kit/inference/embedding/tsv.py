"""Cells of text tables: any text in them, of any length, and the same read as written."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from findna_kit.data.delimited import unlimited_field_size

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from pathlib import Path


def tsv(rows: Iterable[Sequence[str]]) -> bytes:
    """Rows as tab-separated lines, UTF-8. A cell is quoted where it needs it."""
    # Python 3.11's csv.writer leaves a carriage return unquoted, which its reader then takes for the end of the row.
    return "".join("\t".join(_quoted(cell, alone=len(row) == 1) for cell in row) + "\n" for row in rows).encode()


def read_tsv(path: Path) -> Generator[list[str]]:
    """The rows below the first of what `tsv` wrote."""
    with path.open(encoding="utf-8", newline="") as text, unlimited_field_size():
        rows = csv.reader(text, delimiter="\t")
        next(rows)
        yield from rows


def _quoted(cell: str, *, alone: bool) -> str:
    if any(mark in cell for mark in '\t\n\r"') or (alone and not cell):
        return '"' + cell.replace('"', '""') + '"'
    return cell

"""Tab-separated text whose cells may hold anything and are read back exactly as they were written."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from findna_kit.data.delimited import unlimited_field_size

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from pathlib import Path


def tsv(rows: Iterable[Sequence[str]]) -> bytes:
    """Return `rows` as tab-separated lines in UTF-8, with quotes only around cells that need them."""
    # csv.writer of Python 3.11 leaves a carriage return unquoted, and its reader then takes it for the end of the row.
    return "".join("\t".join(_quoted(cell, alone=len(row) == 1) for cell in row) + "\n" for row in rows).encode()


def read_tsv(path: Path) -> Generator[list[str]]:
    """Yield the rows of a file written by `tsv`, without the header."""
    with path.open(encoding="utf-8", newline="") as text, unlimited_field_size():
        rows = csv.reader(text, delimiter="\t")
        next(rows)
        yield from rows


def _quoted(cell: str, *, alone: bool) -> str:
    """Quote a cell if it needs it; an empty cell that is alone in its row would read as a blank line."""
    if any(mark in cell for mark in '\t\n\r"') or (alone and not cell):
        return '"' + cell.replace('"', '""') + '"'
    return cell

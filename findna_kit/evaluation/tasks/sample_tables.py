"""Tables of labelled samples, as the reader of all commands reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from findna_kit.data.table_columns import FOR_TASKS, ColumnNames, find_column
from findna_kit.data.tables import SUFFIXES as SUFFIXES
from findna_kit.data.tables import open_table
from findna_kit.errors import FindnaError, TaskError
from findna_kit.evaluation.tasks.raw_samples import RawSamples

if TYPE_CHECKING:
    from pathlib import Path

Choose = Callable[[tuple[str, ...]], str | None]
"""Takes one more column from the names of the columns that hold neither sequences nor labels, or none."""
CONTIGS = ("contig", "chromosome", "chrom")


@dataclass(frozen=True)
class ExtraColumn:
    """A further column of a table, with a cell for each sample."""

    name: str
    cells: list[str] = field(default_factory=list)


def read_table(path: Path, columns: ColumnNames | None = None) -> RawSamples:
    """Return the samples of a table, in their order. Raises TaskError, with file and line, for a damaged table."""
    try:
        return _read(path, columns, lambda others: None)[0].checked()
    except FindnaError as error:
        raise TaskError(str(error)) from error


def read_table_with(path: Path, columns: ColumnNames | None, choose: Choose) -> tuple[RawSamples, ExtraColumn | None]:
    """Return the samples of a table and one more column, if `choose` takes one.

    Raises TaskError as `read_table` does, and for an empty cell of that column.
    """
    try:
        samples, extra = _read(path, columns, choose)
        return samples.checked(), extra
    except FindnaError as error:
        raise TaskError(str(error)) from error


def _read(path: Path, columns: ColumnNames | None, choose: Choose) -> tuple[RawSamples, ExtraColumn | None]:
    table = open_table(path, columns or ColumnNames(choice=FOR_TASKS), labelled=True)
    others = table.others
    chosen = choose(others)
    extra = None if chosen is None else ExtraColumn(chosen)
    name = find_column(others, CONTIGS)
    contig = None if name is None else others.index(name)
    samples = RawSamples(path)
    for row in table.rows():
        samples.sequences.append(row.sequence)
        samples.labels.append(row.labels[0])
        samples.places.append(row.place)
        samples.contigs.append("" if contig is None else row.others[contig].strip())
        if extra is not None:
            extra.cells.append(row.others[others.index(extra.name)].strip())
            if not extra.cells[-1]:
                raise TaskError(f"{row.place}: the {extra.name} is empty: fill it or remove the row")
    # Contigs are used only if they are known for every sample.
    return (samples if all(samples.contigs) else replace(samples, contigs=[])), extra

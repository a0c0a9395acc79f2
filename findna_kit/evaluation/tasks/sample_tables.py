"""Tables of labelled samples, as the reader of all commands reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from findna_kit.data.table_columns import IN_TASK_FILE, ColumnNames, find_column
from findna_kit.data.tables import SUFFIXES as SUFFIXES
from findna_kit.data.tables import open_table
from findna_kit.errors import FindnaError, TaskError
from findna_kit.evaluation.tasks.raw_samples import RawSamples

if TYPE_CHECKING:
    from pathlib import Path

CONTIGS = ("contig", "chromosome", "chrom")


def read_table(path: Path, columns: ColumnNames | None = None) -> RawSamples:
    """Return the samples of a table, in their order. Raises TaskError, with file and line, for a damaged table."""
    try:
        return _read(path, columns).checked()
    except FindnaError as error:
        raise TaskError(str(error)) from error


def _read(path: Path, columns: ColumnNames | None) -> RawSamples:
    table = open_table(path, columns or ColumnNames(choice=IN_TASK_FILE), labelled=True)
    contig = find_column(table.others, CONTIGS)
    samples = RawSamples(path)
    for row in table.rows():
        samples.sequences.append(row.sequence)
        samples.labels.append(row.labels[0])
        samples.places.append(row.place)
        samples.contigs.append("" if contig is None else row.others[table.others.index(contig)].strip())
    # Contigs are used only if they are known for every sample.
    return samples if all(samples.contigs) else replace(samples, contigs=[])

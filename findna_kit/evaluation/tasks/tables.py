"""Tables of `sequence,label`: csv and tsv, plain or gzip, and parquet."""

from __future__ import annotations

import csv
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

from findna_kit.data.delimited import open_text, unlimited_field_size
from findna_kit.errors import FindnaError, TaskError
from findna_kit.evaluation.tasks.rows import Rows

if TYPE_CHECKING:
    from _csv import Reader
    from collections.abc import Sequence
    from pathlib import Path

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
COLUMNS = {"sequence": ("sequence", "seq"), "label": ("label",)}
"""By what names a column may go; `seq` is GenomicBenchmarks' export on Hugging Face."""
CONTIGS = ("contig", "chromosome", "chrom")


def read_table(path: Path) -> Rows:
    """The rows of a table, in their order. TaskError with file and line for what cannot be used."""
    if path.suffix == ".parquet":
        return _from_columns(path).checked()
    kind = "TSV" if ".tsv" in path.suffixes else "CSV"
    try:
        with open_text(path) as stream, unlimited_field_size():
            rows = _from_lines(path, csv.reader(stream, delimiter="\t" if kind == "TSV" else ",", strict=True))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise TaskError(f"{path} cannot be read as a UTF-8 {kind} table ({error}): write or copy it again") from error
    return rows.checked()


def _from_lines(path: Path, reader: Reader) -> Rows:
    header = [name.strip() for name in next(reader, [])]
    place = {column: header.index(name) for column, name in _columns(path, header).items()}
    rows = Rows(path)
    for row in reader:
        if not row:  # a blank line
            continue
        where = f"{path}:{reader.line_num}"
        cells = {column: row[at].strip() if at < len(row) else "" for column, at in place.items()}
        for column in COLUMNS:
            if not cells[column]:
                raise TaskError(f"{where}: the {column} is empty: fill it or remove the row")
        rows.sequences.append(cells["sequence"])
        rows.labels.append(cells["label"])
        rows.places.append(where)
        rows.contigs.append(cells.get("contig", ""))
    return rows if all(rows.contigs) else replace(rows, contigs=[])


def _from_columns(path: Path) -> Rows:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise FindnaError(f"{path}: parquet needs pyarrow: pip install 'findna-kit[parquet]'") from error
    try:
        with parquet.ParquetFile(path) as file:
            names = _columns(path, file.schema_arrow.names)
            table = file.read(columns=list(names.values()))
    except (OSError, pyarrow.ArrowException) as error:
        raise TaskError(f"{path} cannot be read as a parquet table ({error}): write or copy it again") from error
    text = {
        column: ["" if cell is None else str(cell).strip() for cell in table.column(name).to_pylist()]
        for column, name in names.items()
    }
    for column in COLUMNS:
        if "" in text[column]:
            row = text[column].index("") + 1
            raise TaskError(f"{path}: row {row}: the {column} is empty: fill it or remove the row")
    places = [f"{path}: row {row}" for row in range(1, table.num_rows + 1)]
    contigs = text.get("contig", [])
    return Rows(path, text["sequence"], text["label"], places, contigs if all(contigs) else [])


def _columns(path: Path, header: Sequence[str]) -> dict[str, str]:
    """The header's name of each column that is read; `contig` where there is one. TaskError where one is missing or twofold."""
    found: dict[str, str] = {}
    for column, names in COLUMNS.items():
        there = [name for name in header if name in names]
        if len(there) != 1:
            shown = ", ".join(header) or "none"
            raise TaskError(f"{path}:1: the header needs one column called {column!r}, but its columns are {shown}")
        found[column] = there[0]
    contigs = [name for name in header if name in CONTIGS]
    return {**found, "contig": contigs[0]} if len(contigs) == 1 else found

"""Tables with the columns `sequence` and `label`: csv and tsv, plain or gzip, and parquet."""

from __future__ import annotations

import csv
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

from findna_kit.data.delimited import open_text, unlimited_field_size
from findna_kit.errors import FindnaError, TaskError
from findna_kit.evaluation.tasks.raw_samples import RawSamples

if TYPE_CHECKING:
    from _csv import Reader
    from collections.abc import Sequence
    from pathlib import Path

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
COLUMNS = {"sequence": ("sequence", "seq"), "label": ("label",)}
"""Accepted names of each column; `seq` is used by GenomicBenchmarks on Hugging Face."""
CONTIGS = ("contig", "chromosome", "chrom")


def read_table(path: Path) -> RawSamples:
    """Return the samples of a table, in their order. Raises TaskError, with file and line, for a damaged table."""
    if path.suffix == ".parquet":
        return _from_columns(path).checked()
    kind = "TSV" if ".tsv" in path.suffixes else "CSV"
    try:
        with open_text(path) as stream, unlimited_field_size():
            samples = _from_lines(path, csv.reader(stream, delimiter="\t" if kind == "TSV" else ",", strict=True))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise TaskError(f"{path} cannot be read as a UTF-8 {kind} table ({error}): write or copy it again") from error
    return samples.checked()


def _from_lines(path: Path, reader: Reader) -> RawSamples:
    header = [name.strip() for name in next(reader, [])]
    index = {column: header.index(name) for column, name in _columns(path, header).items()}
    samples = RawSamples(path)
    for row in reader:
        if not row:  # a blank line
            continue
        place = f"{path}:{reader.line_num}"
        cells = {column: row[number].strip() if number < len(row) else "" for column, number in index.items()}
        for column in COLUMNS:
            if not cells[column]:
                raise TaskError(f"{place}: the {column} is empty: fill it or remove the row")
        samples.sequences.append(cells["sequence"])
        samples.labels.append(cells["label"])
        samples.places.append(place)
        samples.contigs.append(cells.get("contig", ""))
    # Contigs are used only if they are known for every sample.
    return samples if all(samples.contigs) else replace(samples, contigs=[])


def _from_columns(path: Path) -> RawSamples:
    # pyarrow is an optional extra.
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
    return RawSamples(path, text["sequence"], text["label"], places, contigs if all(contigs) else [])


def _columns(path: Path, header: Sequence[str]) -> dict[str, str]:
    """Return the header's name of each column that is read; `contig` is optional.

    Raises TaskError if a column is missing, or is there twice.
    """
    columns: dict[str, str] = {}
    for column, accepted in COLUMNS.items():
        matches = [name for name in header if name in accepted]
        if len(matches) != 1:
            listed = ", ".join(header) or "none"
            raise TaskError(f"{path}:1: the header needs one column called {column!r}, but its columns are {listed}")
        columns[column] = matches[0]
    contigs = [name for name in header if name in CONTIGS]
    return {**columns, "contig": contigs[0]} if len(contigs) == 1 else columns

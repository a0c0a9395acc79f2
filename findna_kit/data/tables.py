"""Reading of tables of sequences: CSV and TSV, plain or gzip, and parquet, one row at a time."""

from __future__ import annotations

import csv
import gzip
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit.data.delimited import unlimited_field_size
from findna_kit.data.sequences import LETTERS_EXPECTED, find_wrong_letter
from findna_kit.data.table_columns import ColumnNames, find_label_columns, find_sequence_column, named_header
from findna_kit.errors import FindnaError, require_extra

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

    Cells = Iterator[tuple[str, list[str]]]
    """The place of each row, for messages, and its cells."""

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
_HEADER_CHARACTERS = 1 << 16
_PARQUET_ROWS = 1024


@dataclass(frozen=True)
class TableRow:
    """One row of a table. place: `file:line`, or `file: row N` of a parquet. labels, others: as read, by column."""

    place: str
    sequence: str
    labels: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True)
class SequenceTable:
    """A table of sequences with its columns by role.

    sequence: name of the column of sequences. labels: names of the label columns, empty if none were asked for. others: names
    of the remaining columns in their order; the row names of pandas are called `index`.
    """

    path: Path
    header: tuple[str, ...]
    sequence: str
    labels: tuple[str, ...]

    @property
    def others(self) -> tuple[str, ...]:
        """Return the columns that hold neither sequences nor labels."""
        return tuple(name for name in self.header if name != self.sequence and name not in self.labels)

    def rows(self) -> Iterator[TableRow]:
        """Yield the rows, checked. Raises FindnaError with the place of a ragged row, an empty cell or a wrong letter."""
        number = {name: column for column, name in enumerate(self.header)}
        sequence, labels = number[self.sequence], [number[name] for name in self.labels]
        others = [number[name] for name in self.others]
        for place, cells in _cells(self.path):
            if len(cells) != len(self.header):
                raise FindnaError(
                    f"{place}: has {len(cells)} cells, and the header {len(self.header)} columns; correct the line"
                )
            row = TableRow(
                place,
                cells[sequence].strip(),
                tuple(cells[column].strip() for column in labels),
                tuple(cells[column] for column in others),
            )
            self._check(row)
            yield row

    def _check(self, row: TableRow) -> None:
        """Raise FindnaError for an empty sequence or label, and for a letter that is not a nucleotide."""
        for column, cell in (("sequence", row.sequence), *(("label", label) for label in row.labels)):
            if not cell:
                raise FindnaError(f"{row.place}: the {column} is empty: fill it or remove the row")
        wrong = find_wrong_letter([row.sequence])
        if wrong is not None:
            letter = row.sequence[wrong[1]]
            raise FindnaError(f"{row.place}: {letter!r} is not a nucleotide letter: {LETTERS_EXPECTED}")


def open_table(path: Path, columns: ColumnNames | None = None, *, labelled: bool = False) -> SequenceTable:
    """Return the table in a file, whose header is read and checked.

    columns: names that the user gives; by default the accepted names decide, whatever their case. labelled: whether label
    columns are needed; without, they are among `others`. Raises FindnaError for a file that cannot be read, for no header, and
    for a missing or ambiguous column, with the columns found.
    """
    columns = columns or ColumnNames()
    table = str(path) if is_parquet(path) else f"{path}:1"
    header = named_header(table, _header(path))
    sequence = find_sequence_column(table, header, columns)
    rest = [name for name in header if name != sequence]
    labels = find_label_columns(table, rest, columns) if labelled else ()
    return SequenceTable(path, tuple(header), sequence, tuple(labels))


def is_parquet(path: Path) -> bool:
    """Return whether a file is a parquet, by its name."""
    return path.name.lower().endswith((".parquet", ".pq"))


def split_line(line: str) -> list[str]:
    """Return the cells of one line, at tabs if there are any, else at commas, else at semicolons."""
    return [cell.strip() for cell in next(csv.reader([line], delimiter=_delimiter(line)), [])]


def _delimiter(line: str) -> str:
    return next((mark for mark in "\t,;" if mark in line), ",")


def _header(path: Path) -> list[str]:
    if is_parquet(path):
        with _parquet_errors(path):
            from pyarrow import parquet  # an optional package

            return [str(name) for name in parquet.read_schema(path).names]
    with table_errors(path), open_any_text(path) as text:
        line = text.readline(_HEADER_CHARACTERS)
    return split_line(line) if line.strip() else []


def _cells(path: Path) -> Cells:
    """Yield every row below the header that is not blank."""
    if is_parquet(path):
        yield from _parquet_cells(path)
        return
    with table_errors(path), open_any_text(path) as text, unlimited_field_size():
        reader = csv.reader(text, delimiter=_delimiter(text.readline()), strict=True)
        for cells in reader:
            if cells:
                yield f"{path}:{reader.line_num + 1}", cells


def _parquet_cells(path: Path) -> Cells:
    with _parquet_errors(path):
        from pyarrow import parquet  # an optional package

        number = 0
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
                for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    number += 1
                    yield f"{path}: row {number}", ["" if value is None else str(value) for value in values]


@contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    """Turn errors of reading a parquet into a FindnaError; it names the extra if pyarrow is missing."""
    require_extra("pyarrow", "parquet", str(path))
    import pyarrow  # an optional package

    try:
        yield
    except (OSError, pyarrow.ArrowException) as error:
        raise FindnaError(f"{path} cannot be read as a parquet table ({error}): write or copy it again") from error


@contextmanager
def open_any_text(path: Path) -> Iterator[TextIO]:
    """Open UTF-8 text, decompressing it if its first bytes are those of gzip, whatever its name; skip a byte order mark."""
    with path.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    if gzipped:
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as text:
            yield text
    else:
        with path.open(encoding="utf-8-sig", newline="") as text:
            yield text


@contextmanager
def table_errors(path: Path) -> Iterator[None]:
    """Turn errors of reading the text of `path` into a FindnaError."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FindnaError(f"{path} is a broken or truncated gzip file ({error}); download it again") from error
    except UnicodeDecodeError as error:
        raise FindnaError(f"{path} is not UTF-8 text; save it as UTF-8") from error
    except csv.Error as error:
        raise FindnaError(f"{path} cannot be read as a table ({error}): write or copy it again") from error
    except OSError as error:
        raise FindnaError(f"{path} cannot be read ({error.strerror})") from error

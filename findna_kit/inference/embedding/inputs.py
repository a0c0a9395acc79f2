"""The inputs of `embed`: a FASTA, a BED with a genome, or a table of sequences, read one row at a time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from findna_kit import alphabet
from findna_kit.data.genome import builtin_genome, open_store
from findna_kit.data.genome.bed import bed_intervals
from findna_kit.data.table_columns import SEQUENCE_NAMES
from findna_kit.data.tables import open_any_text, open_table, split_line, table_errors
from findna_kit.errors import FindnaError, GenomeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from findna_kit.data.genome import TokenStore
    from findna_kit.data.genome.bed import BedInterval
    from findna_kit.data.table_columns import ColumnNames

    Row = tuple[tuple[str, ...], str]
    """The cells of the ids of a row, and its sequence."""
    Reading = Callable[[int, int], None] | None

_SUFFIXES = {
    "fasta": (".fa", ".fasta", ".fna", ".ffn", ".fas"),
    "bed": (".bed",),
    "table": (".csv", ".tsv", ".parquet", ".pq"),
}
_KINDS = "FASTA (a line '>name'), BED (contig, start, end), or CSV, TSV or parquet with a column 'sequence'"
_HEADER_BYTES = 1 << 16
"""Bytes read to recognise the format of a file from its first lines."""
_REGION = ("id", "contig", "start", "end")


@dataclass(frozen=True)
class Tiling:
    """Windows of `length` bases that overlap by `overlap`; the last one ends where the contig ends."""

    length: int
    overlap: int = 0

    def __post_init__(self) -> None:
        """Raise FindnaError if the overlap is not smaller than the window."""
        if not 0 <= self.overlap < self.length:
            raise FindnaError(
                f"--overlap {self.overlap} of windows of {self.length}: it must be at least 0 and less than --window"
            )

    def count(self, bases: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the number of windows in contigs of `bases` bases; a contig shorter than a window has one."""
        return np.asarray(1 - np.minimum(self.length - bases, 0) // (self.length - self.overlap))

    def region(self, number: int, bases: int) -> tuple[int, int]:
        """Return start and end (0-based, half-open) of window `number` in a contig of `bases` bases."""
        start = min(number * (self.length - self.overlap), max(bases - self.length, 0))
        return start, min(start + self.length, bases)


def tiling(window: int | None, overlap: int) -> Tiling | None:
    """Return the tiling of --window and --overlap, or None without --window. Raises FindnaError for --overlap alone."""
    if window is None and overlap:
        raise FindnaError(f"--overlap {overlap} needs --window N as well")
    return None if window is None else Tiling(window, overlap)


@dataclass(frozen=True)
class SequenceSource:
    """An ordered collection of sequences that can be read from any row on, any number of times.

    columns: names of the id columns; those in `integers` hold integers. longest: bases of the longest sequence. description:
    what the output records of the input. rows(first): an iterator that starts at row `first`.
    """

    columns: tuple[str, ...]
    integers: frozenset[str]
    count: int
    longest: int
    description: dict[str, str | int]
    rows: Callable[[int], Iterator[Row]]


def open_source(
    path: Path,
    *,
    genome: str | None = None,
    windows: Tiling | None = None,
    columns: ColumnNames | None = None,
    reading: Reading = None,
) -> SequenceSource:
    """Open a FASTA, BED or table, plain or gzip, and check every line of a BED or table.

    genome: the FASTA of a BED. windows: how a FASTA is cut. columns: of a table, as `open_table` takes them. reading: progress
    of indexing, (bases done, all bases). Raises
    FindnaError for a file that cannot be read or is empty, and for options that do not fit its format.
    """
    kind = _kind(path, columns)
    if kind != "bed" and genome is not None:
        raise FindnaError(f"--genome is for a BED, and {path} is not one: leave it out")
    if kind != "fasta" and windows is not None:
        raise FindnaError(f"--window is for a FASTA, and {path} is not one: leave it out")
    if kind == "table":
        return _table(path, columns)
    if columns is not None:
        raise FindnaError(f"--sequence-column is for a table, and {path} is not one: leave it out")
    if kind == "fasta":
        return _fasta(path, windows, reading)
    if genome is None:
        raise FindnaError(f"{path} is a BED, which contains no bases: give --genome FASTA")
    return _bed(path, open_store(builtin_genome() if genome == "builtin" else Path(genome), report=reading))


def _kind(path: Path, names: ColumnNames | None) -> str:
    """Return `fasta`, `bed` or `table`, from the suffix or else from the first line."""
    name = path.name.lower().removesuffix(".gz").removesuffix(".bgz")
    for kind, suffixes in _SUFFIXES.items():
        if name.endswith(suffixes):
            return kind
    with table_errors(path), open_any_text(path) as text:
        lines = text.read(_HEADER_BYTES).splitlines()
    # Comments, and the track and browser lines of a BED, say nothing about the format.
    first = next((line for line in lines if line.strip() and not line.startswith(("#", "track", "browser", ";"))), "")
    fields = first.split("\t") if "\t" in first else first.split()
    if first.startswith(">"):
        return "fasta"
    if len(fields) >= 3 and fields[1].isdecimal() and fields[2].isdecimal():
        return "bed"
    if names is not None or any(name.casefold() in SEQUENCE_NAMES for name in split_line(first)):
        return "table"
    raise FindnaError(f"{path} is not a format that can be embedded, which are {_KINDS}; its first line is {first[:40]!r}")


def _fasta(path: Path, tiles: Tiling | None, reading: Reading) -> SequenceSource:
    """Return the contigs of a FASTA, or their windows."""
    store = open_store(path, report=reading)
    empty = next((contig.name for contig in store.contigs if contig.length == 0), None)
    if empty is not None:
        raise GenomeError(f"{path}: {empty!r} has no bases, so it cannot be embedded: remove it from the file")
    # Without --window every contig is one window, as long as the longest contig.
    windows = tiles or Tiling(int(store.lengths.max()))
    ends = np.cumsum(windows.count(store.lengths))

    def rows(first: int) -> Iterator[Row]:
        for index in range(first, int(ends[-1])):
            # Windows are numbered through all contigs; `ends` holds the number after each contig's last window.
            number = int(np.searchsorted(ends, index, side="right"))
            contig = store.contigs[number]
            start, end = windows.region(index - int(ends[number - 1] if number else 0), contig.length)
            name = contig.name if tiles is None else f"{contig.name}:{start}-{end}"
            yield (name, contig.name, str(start), str(end)), alphabet.decode(store.tokens(number, start, end))

    description: dict[str, str | int] = {"path": str(path.absolute()), "format": "fasta", "digest": store.digest}
    if tiles is not None:
        description |= {"window": tiles.length, "overlap": tiles.overlap}
    longest = min(windows.length, int(store.lengths.max()))
    return SequenceSource(_REGION, frozenset({"start", "end"}), int(ends[-1]), longest, description, rows)


def _bed(path: Path, store: TokenStore) -> SequenceSource:
    """Return the intervals of a BED; those on the minus strand are reverse-complemented."""

    def rows(first: int) -> Iterator[Row]:
        for number, line in enumerate(bed_intervals(path, store)):
            if number >= first:
                yield _bed_row(line, store)

    digest = _digest(path)
    count, longest = _counted(line.end - line.start for line in bed_intervals(path, store))
    if not count:
        raise GenomeError(f"{path} contains no interval; it needs at least one line 'contig start end'")
    description: dict[str, str | int] = {
        "path": str(path.absolute()),
        "format": "bed",
        "digest": digest,
        "genome": store.digest,
    }
    return SequenceSource((*_REGION, "score", "strand"), frozenset({"start", "end"}), count, longest, description, rows)


def _bed_row(line: BedInterval, store: TokenStore) -> Row:
    """Return the ids and the sequence of one interval."""
    contig = store.contigs[line.contig].name
    sequence = alphabet.decode(store.tokens(line.contig, line.start, line.end))
    if line.strand == "-":
        sequence = alphabet.reverse_complement(sequence)
    name = line.name or f"{contig}:{line.start}-{line.end}"
    return (name, contig, str(line.start), str(line.end), line.score, line.strand), sequence


def _table(path: Path, names: ColumnNames | None) -> SequenceSource:
    """Return the rows of a table; every column but that of sequences becomes an id, or the row number if there is none."""
    table = open_table(path, names)
    digest = _digest(path)

    def rows(first: int) -> Iterator[Row]:
        for number, row in enumerate(table.rows()):
            if number >= first:
                yield row.others or (str(number),), row.sequence

    count, longest = _counted(len(row.sequence) for row in table.rows())
    if not count:
        raise FindnaError(f"{path} has no rows below its header: there is nothing to embed")
    description: dict[str, str | int] = {"path": str(path.absolute()), "format": "table", "digest": digest}
    if table.sequence != "sequence":
        description["sequence_column"] = table.sequence
    # A label or any other column becomes an id, so that it can colour a plot later.
    if not table.others:
        return SequenceSource(("row",), frozenset({"row"}), count, longest, description, rows)
    return SequenceSource(table.others, frozenset(), count, longest, description, rows)


def _counted(lengths: Iterable[int]) -> tuple[int, int]:
    """Return the number of lengths and the largest one."""
    count = longest = 0
    for length in lengths:
        count, longest = count + 1, max(longest, length)
    return count, longest


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, by which a resumed call recognises its input."""
    with table_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

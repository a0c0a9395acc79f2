"""What can be embedded: FASTA, BED with a genome, or a table with a `sequence` column; read a row at a time."""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from findna_kit import alphabet
from findna_kit.data.delimited import unlimited_field_size
from findna_kit.data.genome import builtin_genome, open_store
from findna_kit.data.genome.bed import bed_intervals
from findna_kit.errors import FindnaError, GenomeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TextIO

    from findna_kit.data.genome import TokenStore
    from findna_kit.data.genome.bed import BedInterval

    Row = tuple[tuple[str, ...], str]
    """The cells of a row's ids, and its sequence."""
    Reading = Callable[[int, int], None] | None

_SUFFIXES = {
    "fasta": (".fa", ".fasta", ".fna", ".ffn", ".fas"),
    "bed": (".bed",),
    "table": (".csv", ".tsv"),
}
_KINDS = "FASTA (a line '>name'), BED (contig, start, end), or CSV or TSV with a column 'sequence'"
_LOOK = 1 << 16
_PLACE = ("id", "contig", "start", "end")


@dataclass(frozen=True)
class Cut:
    """Windows of `length` bases, each sharing `overlap` with the one before; the last is flush with the contig's end."""

    length: int
    overlap: int = 0

    def __post_init__(self) -> None:
        """Raises FindnaError where the windows would not move on."""
        if not 0 <= self.overlap < self.length:
            raise FindnaError(
                f"--overlap {self.overlap} of windows of {self.length}: it must be at least 0 and less than --window"
            )

    def count(self, bases: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Windows in contigs of so many bases; a contig shorter than a window is one."""
        return np.asarray(1 - np.minimum(self.length - bases, 0) // (self.length - self.overlap))

    def place(self, number: int, bases: int) -> tuple[int, int]:
        """Start and end of a contig's window."""
        start = min(number * (self.length - self.overlap), max(bases - self.length, 0))
        return start, min(start + self.length, bases)


def cut_of(window: int | None, overlap: int) -> Cut | None:
    """The windows asked for; FindnaError for an overlap of none."""
    if window is None and overlap:
        raise FindnaError(f"--overlap {overlap} is of windows: give --window N as well")
    return None if window is None else Cut(window, overlap)


@dataclass(frozen=True)
class Source:
    """Sequences in their order, read from any of them on, as often as wanted.

    columns: of the ids; those in `integers` hold integers. longest: bases of the longest sequence. description: for JSON.
    rows(first): the rows from number `first` on.
    """

    columns: tuple[str, ...]
    integers: frozenset[str]
    count: int
    longest: int
    description: dict[str, Any]
    rows: Callable[[int], Iterator[Row]]


def open_source(path: Path, *, genome: str | None = None, cut: Cut | None = None, reading: Reading = None) -> Source:
    """The sequences of a file (FASTA, BED or table; gzip or not), every line of a BED or table checked.

    genome: of a BED. cut: of a FASTA. Raises FindnaError for what cannot be read, is empty, or does not go together.
    """
    kind = _kind(path)
    if kind != "bed" and genome is not None:
        raise FindnaError(f"{path} is no BED, so --genome says nothing: leave it out")
    if kind != "fasta" and cut is not None:
        raise FindnaError(f"{path} is no FASTA: --window cuts the records of a FASTA; leave it out")
    if kind == "fasta":
        return _fasta(path, cut, reading)
    if kind == "table":
        return _table(path)
    if genome is None:
        raise FindnaError(f"{path} is a BED, which holds no bases: give --genome FASTA")
    return _bed(path, open_store(builtin_genome() if genome == "builtin" else Path(genome), report=reading))


def _kind(path: Path) -> str:
    """By the suffix where it says one, or else by the first line."""
    name = path.name.lower().removesuffix(".gz").removesuffix(".bgz")
    for kind, suffixes in _SUFFIXES.items():
        if name.endswith(suffixes):
            return kind
    with _reading(path), _text(path) as text:
        lines = text.read(_LOOK).splitlines()
    first = next((line for line in lines if line.strip() and not line.startswith(("#", "track", "browser", ";"))), "")
    fields = first.split("\t") if "\t" in first else first.split()
    if first.startswith(">"):
        return "fasta"
    if len(fields) >= 3 and fields[1].isdecimal() and fields[2].isdecimal():
        return "bed"
    if "sequence" in _cells(first, _delimiter(first)):
        return "table"
    raise FindnaError(f"{path} is none of what can be embedded: {_KINDS}; its first line is {first[:40]!r}")


def _fasta(path: Path, cut: Cut | None, reading: Reading) -> Source:
    store = open_store(path, report=reading)
    empty = next((contig.name for contig in store.contigs if contig.length == 0), None)
    if empty is not None:
        raise GenomeError(f"{path}: {empty!r} has no bases: there is nothing to embed; take it out")
    windows = cut or Cut(int(store.lengths.max()))
    ends = np.cumsum(windows.count(store.lengths))

    def rows(first: int) -> Iterator[Row]:
        for index in range(first, int(ends[-1])):
            number = int(np.searchsorted(ends, index, side="right"))
            contig = store.contigs[number]
            start, end = windows.place(index - int(ends[number - 1] if number else 0), contig.length)
            name = contig.name if cut is None else f"{contig.name}:{start}-{end}"
            yield (name, contig.name, str(start), str(end)), alphabet.decode(store.tokens(number, start, end))

    description: dict[str, Any] = {"path": str(path.absolute()), "format": "fasta", "digest": store.digest}
    if cut is not None:
        description |= {"window": cut.length, "overlap": cut.overlap}
    longest = min(windows.length, int(store.lengths.max()))
    return Source(_PLACE, frozenset({"start", "end"}), int(ends[-1]), longest, description, rows)


def _bed(path: Path, store: TokenStore) -> Source:
    def rows(first: int) -> Iterator[Row]:
        for number, line in enumerate(bed_intervals(path, store)):
            if number >= first:
                yield _bed_row(line, store)

    digest = _digest(path)
    count, longest = _counted(line.end - line.start for line in bed_intervals(path, store))
    if not count:
        raise GenomeError(f"{path} holds no interval; give at least one line 'contig start end'")
    description = {"path": str(path.absolute()), "format": "bed", "digest": digest, "genome": store.digest}
    return Source((*_PLACE, "score", "strand"), frozenset({"start", "end"}), count, longest, description, rows)


def _bed_row(line: BedInterval, store: TokenStore) -> Row:
    contig = store.contigs[line.contig].name
    sequence = alphabet.decode(store.tokens(line.contig, line.start, line.end))
    if line.strand == "-":
        sequence = alphabet.reverse_complement(sequence)
    name = line.name or f"{contig}:{line.start}-{line.end}"
    return (name, contig, str(line.start), str(line.end), line.score, line.strand), sequence


def _table(path: Path) -> Source:
    digest = _digest(path)
    header = _header(path)
    columns = tuple(name for name in header if name != "sequence")

    def rows(first: int) -> Iterator[Row]:
        for number, (cells, sequence) in enumerate(_table_rows(path, header)):
            if number >= first:
                yield cells or (str(number),), sequence

    count, longest = _counted(len(sequence) for _, sequence in _table_rows(path, header))
    if not count:
        raise FindnaError(f"{path} has no rows below its header: there is nothing to embed")
    description = {"path": str(path.absolute()), "format": "table", "digest": digest}
    if not columns:
        return Source(("row",), frozenset({"row"}), count, longest, description, rows)
    return Source(columns, frozenset(), count, longest, description, rows)


def _header(path: Path) -> list[str]:
    with _reading(path), _text(path) as text:
        line = text.readline(_LOOK)
    header = _cells(line, _delimiter(line))
    if header.count("sequence") != 1:
        shown = ", ".join(header)[:80] or "none"
        raise FindnaError(f"{path}:1: the header needs one column called 'sequence', but its columns are {shown}")
    twice = next((name for name in header if header.count(name) > 1 or not name), None)
    if twice is not None:
        raise FindnaError(f"{path}:1: every column needs a name of its own, but {twice!r} stands twice or is empty")
    return header


def _cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]


def _delimiter(line: str) -> str:
    return "\t" if "\t" in line else ","


def _table_rows(path: Path, header: list[str]) -> Iterator[Row]:
    at = header.index("sequence")
    with _reading(path), _text(path) as text, unlimited_field_size():
        reader = csv.reader(text, delimiter=_delimiter(text.readline()), strict=True)
        for row in reader:
            if not row:  # a blank line
                continue
            where = f"{path}:{reader.line_num + 1}"
            if len(row) != len(header):
                raise FindnaError(f"{where}: {len(row)} cells under {len(header)} columns; write the table anew")
            sequence = row[at].strip()
            if not sequence:
                raise FindnaError(f"{where}: the sequence is empty: fill it or remove the row")
            if wrong := sequence.strip(alphabet.WRITTEN):  # what is left begins with the first letter that is none
                raise FindnaError(f"{where}: {wrong[0]!r} is no nucleotide letter: use A C G T N or IUPAC's codes")
            yield tuple(cell for place, cell in enumerate(row) if place != at), sequence


def _counted(lengths: Iterable[int]) -> tuple[int, int]:
    """How many there are, and the largest."""
    count = longest = 0
    for length in lengths:
        count, longest = count + 1, max(longest, length)
    return count, longest


def _digest(path: Path) -> str:
    with _reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    with path.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    if gzipped:
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as text:
            yield text
    else:
        with path.open(encoding="utf-8-sig", newline="") as text:
            yield text


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FindnaError(f"{path} is a broken or truncated gzip file ({error}); fetch it again") from error
    except UnicodeDecodeError as error:
        raise FindnaError(f"{path} is no UTF-8 text; what can be embedded is {_KINDS}") from error
    except csv.Error as error:
        raise FindnaError(f"{path} cannot be read as a table ({error}): write or copy it again") from error
    except OSError as error:
        raise FindnaError(f"{path} cannot be read ({error.strerror}); what can be embedded is {_KINDS}") from error

"""Reading BED files line by line: intervals in file order, with name and strand. Memory does not grow with the file."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, NamedTuple

from findna_kit.errors import GenomeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from findna_kit.data.genome.token_store import TokenStore


class BedInterval(NamedTuple):
    """A line of a BED file: 0-based, half-open. `name`, `score` and `strand` are empty where the line has no such column."""

    contig: int
    start: int
    end: int
    name: str
    score: str
    strand: str


def bed_intervals(path: Path, store: TokenStore) -> Iterator[BedInterval]:
    """Yield the intervals of a BED file (BED3 or wider, plain or gzip). Raises GenomeError with the line that is wrong."""
    for where, interval in bed_lines(path, store):
        if interval.strand not in ("+", "-", ".", ""):
            raise GenomeError(f"{where}: the strand is {interval.strand!r}; the sixth column of a BED is +, - or .")
        yield interval


def bed_lines(path: Path, store: TokenStore) -> Iterator[tuple[str, BedInterval]]:
    """Yield each interval with its `file:line`. Unlike in `bed_intervals`, the strand column may hold anything."""
    for number, line in enumerate(_text(path), start=1):
        # Lines that genome browsers add are skipped.
        if line.strip() and not line.startswith(("#", "track", "browser")):
            where = f"{path}:{number}"
            yield where, _interval(line, where, store)


def _interval(line: str, where: str, store: TokenStore) -> BedInterval:
    """Parse a line and check it against the contigs of the genome. where: `file:line`, for errors."""
    # With tabs a name may contain blanks; files that are separated by blanks are accepted too.
    fields = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
    if len(fields) < 3:
        raise GenomeError(f"{where}: {len(fields)} columns; a BED line has contig, start, end, separated by tabs")
    try:
        start, end = int(fields[1]), int(fields[2])
    except ValueError as error:
        raise GenomeError(f"{where}: start and end must be integers, but are {fields[1]!r} and {fields[2]!r}") from error
    try:
        contig = store.index(fields[0])
    except GenomeError as error:
        raise GenomeError(f"{where}: {error}") from error
    # An interval beyond the contig almost always means a file of another assembly: an error, not something to clip.
    size = store.contigs[contig].length
    if start < 0 or start >= end:
        raise GenomeError(f"{where}: {start}-{end} is no interval; start is counted from 0 and must be below end")
    if end > size:
        raise GenomeError(f"{where}: {start}-{end} ends beyond {fields[0]!r}, which has {size} bases; is it of this assembly?")
    name, score, strand = ([field.strip() for field in fields[3:6]] + ["", "", ""])[:3]
    return BedInterval(contig, start, end, name, score, strand)


def _text(path: Path) -> Iterator[str]:
    """Yield the lines of a text file, plain or gzip by its first bytes; its name may end in anything."""
    try:
        with path.open("rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rt", encoding="utf-8") if gzipped else path.open(encoding="utf-8") as text:
            yield from text
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise GenomeError(f"{path} is a broken or truncated gzip file ({error}); fetch it again") from error
    except UnicodeDecodeError as error:
        raise GenomeError(f"{path} is not a text file; a BED file has lines 'contig start end'") from error
    except OSError as error:
        raise GenomeError(f"the BED file {path} cannot be read: {error.strerror}") from error

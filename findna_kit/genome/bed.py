"""BED, a line at a time: intervals in their order, with name and strand, in memory that does not grow with their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from findna_kit.errors import GenomeError
from findna_kit.genome.regions import _lines, _row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from findna_kit.genome.store import TokenStore


class Interval(NamedTuple):
    """A line of a BED file: 0-based half-open; `name`, `score` and `strand` are '' where the line ends before."""

    contig: int
    start: int
    end: int
    name: str
    score: str
    strand: str


def bed_intervals(path: Path, store: TokenStore) -> Iterator[Interval]:
    """The lines of a BED file (BED3 or wider, plain or gzip); GenomeError names the line that is wrong."""
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        where = f"{path}:{number}"
        contig, start, end, name = _row(line, where, store)
        fields = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
        score, strand = ([field.strip() for field in fields[4:6]] + ["", ""])[:2]
        if strand not in ("+", "-", ".", ""):
            raise GenomeError(f"{where}: the strand is {strand!r}; the sixth column of a BED is +, - or .")
        yield Interval(contig, start, end, name, score, strand)

"""The statistics of a genome that `findna-kit genome FASTA` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import numpy as np

from findna_kit import alphabet
from findna_kit.data.genome import fasta, intervals
from findna_kit.data.genome.regions import Regions
from findna_kit.data.genome.windows import starts_inside, starts_known

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from findna_kit.data.genome.intervals import Runs
    from findna_kit.data.genome.token_store import TokenStore


class BaseStatistics(TypedDict):
    """Statistics of a contig or of a whole genome: `soft_masked` is a share of all bases, `gc` a share of A C G T."""

    length: int
    unknown: int
    soft_masked: float
    gc: float | None


class ContigStatistics(BaseStatistics):
    """Statistics of one contig."""

    name: str


class WindowCounts(TypedDict):
    """How many window starts remain under each condition."""

    length: int
    max_unknown: float
    inside_contigs: int
    known_enough: int


class GenomeReport(TypedDict):
    """The statistics of a genome."""

    source: str
    digest: str
    contigs: list[ContigStatistics]
    total: BaseStatistics
    other_letters: dict[str, int]
    windows: WindowCounts


def genome_report(store: TokenStore, *, length: int, max_unknown: float) -> GenomeReport:
    """Return the statistics of a genome as plain numbers for JSON.

    Contigs, totals, letters other than ACGTN, and how many window starts remain under each condition: inside one contig
    (`inside_contigs`), and with at most a share `max_unknown` of N as well (`known_enough`). The share of soft-masked bases is
    of all bases; GC is of A C G T alone, and None where there are none.
    """
    unknown, soft_masked, strong = _counts(store)
    # A window that crosses contigs, or has too much N, is never drawn; the numbers show what each condition costs.
    inside = starts_inside(store, Regions.whole(store), length)
    known = intervals.intersection(inside, starts_known(store, length, max_unknown))
    contigs: list[ContigStatistics] = [
        {"name": contig.name, **_statistics(contig.length, *counts)}
        for contig, *counts in zip(store.contigs, unknown.tolist(), soft_masked.tolist(), strong.tolist(), strict=True)
    ]
    return {
        "source": str(store.source),
        "digest": store.digest,
        "contigs": contigs,
        "total": _statistics(store.bases, int(unknown.sum()), int(soft_masked.sum()), int(strong.sum())),
        "other_letters": dict(store.other_letters),
        "windows": {
            "length": length,
            "max_unknown": max_unknown,
            "inside_contigs": _size(inside),
            "known_enough": _size(known),
        },
    }


def _counts(store: TokenStore) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count N, lower-case letters, and G or C of each contig: three arrays [contigs]."""
    counts = np.zeros((3, len(store.contigs)), dtype=np.int64)
    for low, codes in store.chunks():
        tokens = codes & np.uint8(fasta.TOKEN_BITS)
        # One pass over the memory map, in chunks; reduceat sums each contig's share of a chunk.
        first = store.offsets[np.searchsorted(store.offsets, low, "right") :]
        places = np.unique(np.append(low, first[first < low + len(codes)]))
        # A contig without bases has the offset of the next one. `right` takes the last of equal offsets, the contig with bases.
        owners = np.searchsorted(store.offsets, places, "right") - 1
        kinds = (tokens == alphabet.N, codes >= fasta.SOFT_MASKED, (tokens == alphabet.C) | (tokens == alphabet.G))
        for row, is_one in zip(counts, kinds, strict=True):
            row[owners] += np.add.reduceat(is_one, places - low, dtype=np.int64)
    return counts[0], counts[1], counts[2]


def _statistics(length: int, unknown: int, soft_masked: int, strong: int) -> BaseStatistics:
    """Return statistics from counts of bases."""
    # The share of G and C among known bases: N would count as A or T.
    known = length - unknown
    return {
        "length": length,
        "unknown": unknown,
        "soft_masked": soft_masked / length if length else 0.0,
        "gc": strong / known if known else None,
    }


def _size(runs: Runs) -> int:
    """Count the integers in runs."""
    start, end = runs
    return int((end - start).sum())

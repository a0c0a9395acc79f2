"""Regions of a genome: set arithmetic, reading BED files, and the split into training and validation regions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from findna_kit import rng
from findna_kit.data.genome import intervals
from findna_kit.data.genome.bed import bed_lines
from findna_kit.errors import GenomeError

if TYPE_CHECKING:
    from findna_kit.data.genome.bed import BedInterval
    from findna_kit.data.genome.intervals import Integers, Runs
    from findna_kit.data.genome.token_store import TokenStore
    from findna_kit.settings import HeldOut

_CONTIG_BIT = 40
"""Contig and position are packed into one integer, `contig << 40 | position`: contigs may have up to 2^40 bases."""
_AUTO_SHARE = 0.05
"""Share of the genome in the validation split under `validation: auto`."""

# Many small blocks represent the genome better than a few large ones; but each block costs windows at its two edges.
_VALIDATION_BLOCKS = 32
_MAX_BLOCK = 1_000_000


@dataclass(frozen=True, eq=False)
class Regions:
    """A set of regions of contigs: three int64 arrays, 0-based and half-open, sorted, disjoint, touching regions joined."""

    contig: Integers
    start: Integers
    end: Integers

    @classmethod
    def of(cls, contig: Integers, start: Integers, end: Integers) -> Regions:
        """Build the union of intervals given in any order; empty ones are dropped."""
        place = np.asarray(contig, dtype=np.int64) << _CONTIG_BIT
        return cls._of_runs(intervals.merged(place + start, place + end))

    @classmethod
    def whole(cls, store: TokenStore) -> Regions:
        """Build the regions that cover every contig completely."""
        return cls.of(np.arange(len(store.contigs)), np.zeros_like(store.lengths), store.lengths)

    @property
    def bases(self) -> int:
        """Count the bases that the regions cover."""
        return int((self.end - self.start).sum())

    def union(self, other: Regions) -> Regions:
        """Return the bases that lie in either set."""
        (start, end), (more_start, more_end) = self._runs, other._runs
        return self._of_runs(intervals.merged(np.concatenate([start, more_start]), np.concatenate([end, more_end])))

    def intersect(self, other: Regions) -> Regions:
        """Return the bases that lie in both sets."""
        return self._of_runs(intervals.intersection(self._runs, other._runs))

    def minus(self, other: Regions) -> Regions:
        """Return the bases of this set that do not lie in the other."""
        return self._of_runs(intervals.difference(self._runs, other._runs))

    def __len__(self) -> int:
        return len(self.start)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Regions):
            return NotImplemented
        return all(np.array_equal(mine, theirs) for mine, theirs in zip(self._runs, other._runs, strict=True))

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    @property
    def _runs(self) -> Runs:
        """Return the regions as runs of packed coordinates."""
        place = self.contig << _CONTIG_BIT
        return place + self.start, place + self.end

    @classmethod
    def _of_runs(cls, runs: Runs) -> Regions:
        """Build regions from runs of packed coordinates."""
        # A run never spans two contigs, so its start tells the contig.
        start, end = runs
        contig = start >> _CONTIG_BIT
        return cls(contig, start - (contig << _CONTIG_BIT), end - (contig << _CONTIG_BIT))


def read_bed(path: Path, store: TokenStore) -> Regions:
    """Read a BED file (BED3 or wider, plain or gzip) as one set. Raises GenomeError with the line that is wrong."""
    return Regions.of(*_columns(_rows(path, store)))


def read_named_bed(path: Path, store: TokenStore) -> dict[str, Regions]:
    """Read a BED file as one set for each name (4th column; empty where a line has none)."""
    named: dict[str, list[BedInterval]] = {}
    for row in _rows(path, store):
        named.setdefault(row.name, []).append(row)
    return {name: Regions.of(*_columns(rows)) for name, rows in named.items()}


@dataclass(frozen=True)
class Split:
    """The training and the validation regions of a genome; they have no base in common."""

    train: Regions
    validation: Regions


def split(
    store: TokenStore, held_out: HeldOut | Literal["auto"], *,
    length: int, seed: int, included: Regions | None = None, excluded: Regions | None = None, default: Regions | None = None,
) -> Split:  # fmt: skip
    """Split a genome into training and validation regions, a pure function of the arguments.

    held_out: how the validation regions are chosen.
        share: the genome is cut into blocks of about equal size (a 32nd of the validation share, but at most 1 Mb and at least
        four windows of `length`). Blocks are taken in the order of a hash of (seed, contig name, start) until whole blocks
        meet the share as nearly as they can.
        contigs: whole contigs. bed: the regions of the file. "auto": `default`, or without one a share of 0.05.
    included: if given, only these regions are used. excluded: these are used for neither split.
    Raises GenomeError if either split would have no base.
    """
    available = Regions.whole(store) if included is None else included
    if excluded is not None:
        available = available.minus(excluded)
    if held_out == "auto":
        validation = default if default is not None else _share(store, available, _AUTO_SHARE, length=length, seed=seed)
    elif held_out.contigs is not None:
        numbers = np.array([store.index(name) for name in held_out.contigs])
        validation = Regions.of(numbers, np.zeros_like(numbers), store.lengths[numbers])
    elif held_out.bed is not None:
        validation = read_bed(Path(held_out.bed), store)
    elif held_out.share is not None:
        validation = _share(store, available, held_out.share, length=length, seed=seed)
    else:
        raise GenomeError("no validation split is given; give one of share, contigs, bed")
    # What is excluded stays out of both splits, also if `validation` names it.
    validation = validation.intersect(available)
    train = available.minus(validation)
    if not validation.bases:
        raise GenomeError(
            f"the validation split of {store.source} has no base: its regions are excluded, or not included; name others"
        )
    if not train.bases:
        raise GenomeError(f"the training split of {store.source} has no base: validation takes all of it; hold out less")
    return Split(train, validation)


def _share(store: TokenStore, available: Regions, share: float, *, length: int, seed: int) -> Regions:
    """Choose validation blocks that hold about `share` of the available bases."""
    target = share * available.bases
    if target < length:
        raise GenomeError(
            f"{store.source}: the validation region, a share of {share:g} of {available.bases} bases, is less than one window "
            f"of {length}; set a larger data.validation, such as {{share: 0.2}}, or a smaller data.length"
        )
    size = max(4 * length, min(_MAX_BLOCK, int(target / _VALIDATION_BLOCKS)))
    contig, start, end = _blocks(available, size)
    # A block that is shorter than a window would hold bases back from training and validate nothing.
    holds_window = end - start >= length
    contig, start, end = contig[holds_window], start[holds_window], end[holds_window]
    if len(start) < 2:
        raise GenomeError(
            f"{store.source} is too small for windows of {length}: it cannot be cut into two blocks of {size}; "
            "take shorter windows, or name the held-out contigs or a BED"
        )
    names = [store.contigs[number].name for number in contig]
    # Ordered by a hash of each block: the choice depends on the seed, but not on the order of contigs in the file.
    order = np.argsort([rng.key(seed, "held out", *block) for block in zip(names, start.tolist(), strict=True)])
    so_far = np.cumsum((end - start)[order])
    # At least one block is left for training.
    count = min(int(np.argmin(np.abs(so_far - target))) + 1, len(order) - 1)
    chosen = order[:count]
    return Regions.of(contig[chosen], start[chosen], end[chosen])


def _blocks(regions: Regions, size: int) -> tuple[Integers, Integers, Integers]:
    """Cut each region into as many equal blocks of at least `size` bases as fit into it, at least one."""
    length = regions.end - regions.start
    count = np.maximum(length // size, 1)
    owner = np.repeat(np.arange(len(regions)), count)
    # The number of each block within its region. Block edges are rounded from multiples of the whole length, so that sizes
    # differ by one base at most and no base is lost.
    number = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    start = regions.start[owner] + number * length[owner] // count[owner]
    end = regions.start[owner] + (number + 1) * length[owner] // count[owner]
    return regions.contig[owner], start, end


def _columns(rows: list[BedInterval]) -> tuple[Integers, Integers, Integers]:
    """Return contig, start and end of intervals as arrays."""
    table = np.array([row[:3] for row in rows], dtype=np.int64)
    return table[:, 0], table[:, 1], table[:, 2]


def _rows(path: Path, store: TokenStore) -> list[BedInterval]:
    """Read the intervals of a BED file. Raises GenomeError if there is none."""
    rows = [interval for _, interval in bed_lines(path, store)]
    if not rows:
        raise GenomeError(f"{path} holds no interval; give at least one line 'contig start end', or leave the file out")
    return rows

"""Regions of a genome: set arithmetic, BED files, and the split into training and held-out stretches."""

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
"""Contig and position in one integer, `contig << 40 | position`: contigs of up to 1 Tb, and never two in one run."""
_AUTO_SHARE = 0.05
_HELD_OUT_BLOCKS = 32
_LARGEST_BLOCK = 1_000_000


@dataclass(frozen=True, eq=False)
class Regions:
    """Stretches of contigs: three int64 arrays, 0-based half-open, sorted, disjoint, touching ones joined."""

    contig: Integers
    start: Integers
    end: Integers

    @classmethod
    def of(cls, contig: Integers, start: Integers, end: Integers) -> Regions:
        """The regions that any intervals cover together, in any order; empty ones are dropped."""
        place = np.asarray(contig, dtype=np.int64) << _CONTIG_BIT
        return cls._of_runs(intervals.merged(place + start, place + end))

    @classmethod
    def whole(cls, store: TokenStore) -> Regions:
        """Every contig from end to end."""
        return cls.of(np.arange(len(store.contigs)), np.zeros_like(store.lengths), store.lengths)

    @property
    def bases(self) -> int:
        """How many bases they cover."""
        return int((self.end - self.start).sum())

    def union(self, other: Regions) -> Regions:
        """What lies in either."""
        (start, end), (more_start, more_end) = self._runs, other._runs
        return self._of_runs(intervals.merged(np.concatenate([start, more_start]), np.concatenate([end, more_end])))

    def intersect(self, other: Regions) -> Regions:
        """What lies in both."""
        return self._of_runs(intervals.intersection(self._runs, other._runs))

    def minus(self, other: Regions) -> Regions:
        """What does not lie in the other."""
        return self._of_runs(intervals.difference(self._runs, other._runs))

    def __len__(self) -> int:
        return len(self.start)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Regions):
            return NotImplemented
        return all(np.array_equal(mine, theirs) for mine, theirs in zip(self._runs, other._runs, strict=True))

    __hash__ = None  # type: ignore[assignment]  # arrays

    @property
    def _runs(self) -> Runs:
        place = self.contig << _CONTIG_BIT
        return place + self.start, place + self.end

    @classmethod
    def _of_runs(cls, runs: Runs) -> Regions:
        start, end = runs
        contig = start >> _CONTIG_BIT
        return cls(contig, start - (contig << _CONTIG_BIT), end - (contig << _CONTIG_BIT))


def read_bed(path: Path, store: TokenStore) -> Regions:
    """The intervals of a BED file (BED3 or wider, plain or gzip) as one set; GenomeError names the line that is wrong."""
    return Regions.of(*_columns(_rows(path, store)))


def read_named_bed(path: Path, store: TokenStore) -> dict[str, Regions]:
    """The intervals of a BED file by their name (4th column; '' where there is none)."""
    named: dict[str, list[BedInterval]] = {}
    for row in _rows(path, store):
        named.setdefault(row.name, []).append(row)
    return {name: Regions.of(*_columns(rows)) for name, rows in named.items()}


@dataclass(frozen=True)
class Split:
    """Two parts of a genome without a base in common."""

    train: Regions
    validation: Regions


def split(
    store: TokenStore, held_out: HeldOut | Literal["auto"], *,
    length: int, seed: int, included: Regions | None = None, excluded: Regions | None = None, own: Regions | None = None,
) -> Split:  # fmt: skip
    """Training and held-out stretches: a pure function of what is given.

    held_out.share: the genome is cut into blocks of equal size (a 32nd of what is to be held out, but at most 1 Mb and at
    least four windows of `length`), taken in the order of a hash of (seed, contig's name, place) until the share is met as
    nearly as whole blocks can. contigs: whole. bed: as stated. "auto": `own`, or else a share of 0.05.
    Neither part has anything that is not `included`, or that is `excluded`. GenomeError if either has no base.
    """
    available = Regions.whole(store) if included is None else included
    if excluded is not None:
        available = available.minus(excluded)
    if held_out == "auto":
        validation = own if own is not None else _share(store, available, _AUTO_SHARE, length=length, seed=seed)
    elif held_out.contigs is not None:
        numbers = np.array([store.index(name) for name in held_out.contigs])
        validation = Regions.of(numbers, np.zeros_like(numbers), store.lengths[numbers])
    elif held_out.bed is not None:
        validation = read_bed(Path(held_out.bed), store)
    elif held_out.share is not None:
        validation = _share(store, available, held_out.share, length=length, seed=seed)
    else:
        raise GenomeError("nothing says what is held out for validation; give one of share, contigs, bed")
    validation = validation.intersect(available)
    train = available.minus(validation)
    if not validation.bases:
        raise GenomeError(
            f"no base of {store.source} is held out: what validation names is excluded, or not included; name another"
        )
    if not train.bases:
        raise GenomeError(f"no base of {store.source} is left for training: validation holds out all of it; hold out less")
    return Split(train, validation)


def _share(store: TokenStore, available: Regions, share: float, *, length: int, seed: int) -> Regions:
    wanted = share * available.bases
    if wanted < length:
        raise GenomeError(
            f"a share of {share:g} of {available.bases} bases is less than one window of {length}; "
            "hold out a larger share, or take shorter windows"
        )
    size = max(4 * length, min(_LARGEST_BLOCK, int(wanted / _HELD_OUT_BLOCKS)))
    contig, start, end = _blocks(available, size)
    holds_window = end - start >= length
    contig, start, end = contig[holds_window], start[holds_window], end[holds_window]
    if len(start) < 2:
        raise GenomeError(
            f"{store.source} is too small for windows of {length}: it cannot be cut into two blocks of {size}; "
            "take shorter windows, or name the held-out contigs or a BED"
        )
    names = [store.contigs[number].name for number in contig]
    order = np.argsort([rng.key(seed, "held out", *block) for block in zip(names, start.tolist(), strict=True)])
    so_far = np.cumsum((end - start)[order])
    count = min(int(np.argmin(np.abs(so_far - wanted))) + 1, len(order) - 1)
    chosen = order[:count]
    return Regions.of(contig[chosen], start[chosen], end[chosen])


def _blocks(regions: Regions, size: int) -> tuple[Integers, Integers, Integers]:
    """Each region cut into as many equal blocks of at least `size` as it has room for; one, if for none."""
    length = regions.end - regions.start
    count = np.maximum(length // size, 1)
    owner = np.repeat(np.arange(len(regions)), count)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    start = regions.start[owner] + number * length[owner] // count[owner]
    end = regions.start[owner] + (number + 1) * length[owner] // count[owner]
    return regions.contig[owner], start, end


def _columns(rows: list[BedInterval]) -> tuple[Integers, Integers, Integers]:
    table = np.array([row[:3] for row in rows], dtype=np.int64)
    return table[:, 0], table[:, 1], table[:, 2]


def _rows(path: Path, store: TokenStore) -> list[BedInterval]:
    rows = [interval for _, interval in bed_lines(path, store)]
    if not rows:
        raise GenomeError(f"{path} holds no interval; give at least one line 'contig start end', or leave the file away")
    return rows

"""Windows of a genome, a pure function of (seed, purpose, step, index in the global batch): no iterator and no state."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from findna_kit.components.draws import Draw
from findna_kit.components.views import View
from findna_kit.data.genome import intervals
from findna_kit.errors import GenomeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from findna_kit.data.genome.intervals import Integers, Runs
    from findna_kit.data.genome.regions import Regions
    from findna_kit.data.genome.token_store import TokenStore


def starts_inside(store: TokenStore, regions: Regions, length: int) -> Runs:
    """Return the window starts, as offsets in the memory map, at which the whole window lies inside one region."""
    place = store.offsets[regions.contig]
    return intervals.merged(place + regions.start, place + regions.end - length + 1)


def starts_known(store: TokenStore, length: int, max_unknown: float) -> Runs:
    """Return the window starts, as offsets in the memory map, at which at most `max_unknown` of the window is N.

    Contig boundaries are ignored. The number of N in a window is a piecewise linear function of its start, which bends where a
    run of N enters or leaves the window. Each piece is solved, so time and memory grow with the runs of N, not with the bases.
    """
    allowed = int(max_unknown * length + 1e-9)  # 0.29 of 100 is 29, although the floating-point product is slightly less
    start, end = store.unknown
    last = store.bases - length + 1
    if last <= 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    edges = np.concatenate([start, end])
    edges = np.unique(np.concatenate([[0, last], edges, edges - length]).clip(0, last))
    # Between two neighbouring edges, each further start gains one N, loses one, or changes nothing.
    low, high = edges[:-1], edges[1:]
    before = np.append(0, np.cumsum(end - start))

    def count_before(place: Integers) -> Integers:
        """Count the N before an offset."""
        # All N of the runs that begin up to `place`, without those of the last run that lie beyond it.
        run = np.searchsorted(start, place, "right")
        inside_run = np.maximum(0, end[run - 1] - place) * (run > 0) if len(end) else 0
        counted: Integers = before[run] - inside_run
        return counted

    unknown = count_before(edges + length) - count_before(edges)
    here, rising = unknown[:-1], np.sign(unknown[1:] - unknown[:-1])
    # Eligible are the starts of a falling piece from where it has fallen to `allowed`, those of a rising piece up to where it
    # exceeds `allowed`, and of a level piece all or none.
    first = np.where(rising < 0, low + (here - allowed).clip(0), low)
    after = np.where(rising > 0, low + allowed - here + 1, np.where((rising == 0) & (here > allowed), low, high))
    return intervals.merged(np.maximum(first, low), np.minimum(after, high))


class WindowSampler:
    """Draws windows of `length` from `regions`, uniformly over the eligible starts.

    A start is eligible if the whole window lies inside one region and at most a share `max_unknown` of it is N. Raises
    GenomeError if no start is eligible.
    """

    def __init__(
        self, store: TokenStore, regions: Regions, *, length: int, max_unknown: float, seed: int, purpose: str
    ) -> None:
        self._store, self._length, self._key = store, length, (seed, "windows", purpose)
        inside = starts_inside(store, regions, length)
        start, end = intervals.intersection(inside, starts_known(store, length, max_unknown))
        if not len(start):
            raise GenomeError(_why_none(store, regions, purpose, length, max_unknown))
        # The eligible starts are runs. Cumulative counts turn a uniform rank into a run by binary search.
        self._start, self._counts = start, end - start
        self._upto = np.cumsum(self._counts)

    @property
    def contigs(self) -> int:
        """Count the contigs of the genome."""
        return len(self._store.contigs)

    @property
    def count(self) -> int:
        """Count the eligible starts."""
        return int(self._upto[-1])

    def draw(self, step: int, rows: Tensor) -> View:
        """Return the windows with indices `rows` [B] of the global batch of a step; they do not depend on the other indices."""
        # On the CPU, where the genome is. The numbers are the same on any device.
        rank = Draw(*self._key, step, rows=rows.cpu()).integers(0, self.count).numpy()
        run = np.searchsorted(self._upto, rank, "right")
        return self._view(self._start[run] + rank - (self._upto - self._counts)[run])

    def fixed(self, count: int) -> View:
        """Return the same `count` windows at every call, spread evenly; they overlap only where the regions are too small.

        Raises GenomeError if fewer than `count` starts are eligible.
        """
        if count > self.count:
            raise GenomeError(
                f"{count} different windows of {self._length} are wanted, but only {self.count} can be had; "
                "ask for fewer, or hold out larger regions"
            )
        capacity = -(-self._counts // self._length)  # windows that fit side by side into each run of starts
        upto = np.cumsum(capacity)
        if count <= upto[-1]:
            slot = _even(count, int(upto[-1]))
            run = np.searchsorted(upto, slot, "right")
            slot -= (upto - capacity)[run]
            # The first window of a run lies at its beginning and the last at its end, with the others at equal distances.
            gaps = np.maximum(capacity[run] - 1, 1)
            return self._view(self._start[run] + slot * (self._counts[run] - 1) // gaps)
        # Too many to lie side by side: evenly spaced starts, whose windows overlap.
        rank = _even(count, self.count)
        run = np.searchsorted(self._upto, rank, "right")
        return self._view(self._start[run] + rank - (self._upto - self._counts)[run])

    def _view(self, place: Integers) -> View:
        """Read the windows that start at these offsets of the memory map."""
        contig = np.searchsorted(self._store.offsets, place, "right") - 1
        start = place - self._store.offsets[contig]
        tokens, soft_masked = self._store.windows(contig, start, self._length)
        return View.of_windows(
            torch.from_numpy(tokens), soft_masked=torch.from_numpy(soft_masked),
            contig=torch.from_numpy(contig), start=torch.from_numpy(start),
        )  # fmt: skip


class MixedWindows:
    """Draws windows of several genomes: first the genome by weight, then a window as from that genome alone.

    Contigs are numbered through all genomes. Weights are relative to each other.
    """

    def __init__(self, samplers: Sequence[WindowSampler], weights: Sequence[float], *, seed: int, purpose: str) -> None:
        self._samplers, self._key = samplers, (seed, "genomes", purpose)
        self._upto = np.cumsum(weights) / sum(weights)
        self._upto[-1] = 1.0  # exactly, so that no number in [0, 1) lies beyond it

    def draw(self, step: int, rows: Tensor) -> View:
        """Return the windows with indices `rows` [B] of the global batch of a step; they do not depend on the other indices."""
        share = Draw(*self._key, step, rows=rows.cpu()).uniform().numpy()
        owner = np.searchsorted(self._upto, share, "right")
        # Each genome draws its own windows at once; sorting by index restores the order of `rows`.
        order = [torch.from_numpy(np.flatnonzero(owner == number)) for number in range(len(self._samplers))]
        drawn = [sampler.draw(step, rows.cpu()[chosen]) for sampler, chosen in zip(self._samplers, order, strict=True)]
        return self._concatenate(drawn).select(torch.cat(order).argsort())

    def fixed(self, count: int) -> View:
        """Return the same `count` windows at every call; each genome contributes its weight, rounded."""
        upto = (self._upto * count).round().astype(np.int64)
        counts = np.diff(upto, prepend=0).tolist()
        return self._concatenate([sampler.fixed(share) for sampler, share in zip(self._samplers, counts, strict=True)])

    def _concatenate(self, views: list[View]) -> View:
        """Concatenate windows of all genomes, with contigs numbered through."""
        before = np.cumsum([0, *(sampler.contigs for sampler in self._samplers)])
        counted = [replace(view, contig=view.contig + int(first)) for view, first in zip(views, before, strict=False)]
        return View.concatenate(counted)


def _even(count: int, places: int) -> Integers:
    """Return `count` different numbers below `places`, each in the middle of one of `count` equal intervals."""
    return (2 * np.arange(count, dtype=np.int64) + 1) * places // (2 * count)


def _why_none(store: TokenStore, regions: Regions, purpose: str, length: int, max_unknown: float) -> str:
    """Explain why no start is eligible."""
    problem = f"no window of {length} bases can be drawn from {store.source} for {purpose}"
    longest = int(store.lengths.max())
    if longest < length:
        return f"{problem}: its longest contig has {longest} bases; set data.length to at most that"
    longest = int((regions.end - regions.start).max(initial=0))
    if longest < length:
        return f"{problem}: the longest {purpose} region has {longest} bases; set data.length to at most that"
    return f"{problem}: more than {max_unknown:g} of each is N; raise data.max_unknown, or take another genome"

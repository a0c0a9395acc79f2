"""Sets of integers as runs: sorted, disjoint, half-open, kept as two int64 arrays (start, end) of one length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Runs = tuple[Integers, Integers]


def merged(start: Integers, end: Integers) -> Runs:
    """The runs that any half-open intervals cover together: touching ones joined, empty ones dropped."""
    kept = end > start
    start, end = start[kept], end[kept]
    if not len(start):
        return start, end
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(end[order])
    first = np.concatenate(([True], start[1:] > reach[:-1]))
    return start[first], reach[np.append(first[1:], True)]


def inside(points: Integers, runs: Runs) -> NDArray[np.bool_]:
    """True for each of `points` that lies in a run."""
    start, end = runs
    found: NDArray[np.bool_] = np.searchsorted(start, points, "right") > np.searchsorted(end, points, "right")
    return found


def intersection(one: Runs, other: Runs) -> Runs:
    """What lies in both."""
    low, high = _pieces(one, other)
    kept = inside(low, one) & inside(low, other)
    return merged(low[kept], high[kept])


def difference(one: Runs, other: Runs) -> Runs:
    """What lies in the first alone."""
    low, high = _pieces(one, other)
    kept = inside(low, one) & ~inside(low, other)
    return merged(low[kept], high[kept])


def _pieces(one: Runs, other: Runs) -> Runs:
    # Between two neighbouring edges nothing changes, so each piece lies wholly inside or outside of either set.
    edges = np.unique(np.concatenate([*one, *other]))
    return edges[:-1], edges[1:]

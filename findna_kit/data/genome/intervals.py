"""Sets of integers as runs: two int64 arrays (start, end) of sorted, disjoint, half-open intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Runs = tuple[Integers, Integers]


def merged(start: Integers, end: Integers) -> Runs:
    """Return the union of half-open intervals as runs: touching intervals are joined, empty ones dropped."""
    nonempty = end > start
    start, end = start[nonempty], end[nonempty]
    if not len(start):
        return start, end
    order = np.argsort(start, kind="stable")
    # `reach`: the largest end so far. A run begins where the next start lies beyond it.
    start, reach = start[order], np.maximum.accumulate(end[order])
    first = np.concatenate(([True], start[1:] > reach[:-1]))
    return start[first], reach[np.append(first[1:], True)]


def inside(points: Integers, runs: Runs) -> NDArray[np.bool_]:
    """Return for each of `points` whether it lies in a run."""
    start, end = runs
    # More runs have begun than ended at the point.
    contained: NDArray[np.bool_] = np.searchsorted(start, points, "right") > np.searchsorted(end, points, "right")
    return contained


def intersection(first: Runs, second: Runs) -> Runs:
    """Return the integers that lie in both sets."""
    low, high = _pieces(first, second)
    chosen = inside(low, first) & inside(low, second)
    return merged(low[chosen], high[chosen])


def difference(first: Runs, second: Runs) -> Runs:
    """Return the integers that lie in the first set but not in the second."""
    low, high = _pieces(first, second)
    chosen = inside(low, first) & ~inside(low, second)
    return merged(low[chosen], high[chosen])


def _pieces(first: Runs, second: Runs) -> Runs:
    """Cut the line at every edge of either set."""
    # Between two neighbouring edges nothing changes, so each piece lies entirely inside or outside of each set.
    edges = np.unique(np.concatenate([*first, *second]))
    return edges[:-1], edges[1:]

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from findna_kit.data.genome import intervals

pairs = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8)


def runs(some):
    table = np.array(some, dtype=np.int64).reshape(-1, 2)
    return intervals.merged(table[:, 0], table[:, 1])


def as_set(start, end):
    return {place for low, high in zip(start, end, strict=True) for place in range(low, high)}


def covered(some):
    return {place for low, high in some for place in range(low, high)}


@given(pairs)
@settings(deadline=None, max_examples=100)
def test_merged_is_the_union_sorted_disjoint_and_not_touching(some):
    start, end = runs(some)
    assert as_set(start, end) == covered(some)
    assert np.all(end > start)
    assert np.all(start[1:] > end[:-1])


@given(pairs, pairs)
@settings(deadline=None, max_examples=100)
def test_operations_are_those_of_sets(one, other):
    assert as_set(*intervals.intersection(runs(one), runs(other))) == covered(one) & covered(other)
    assert as_set(*intervals.difference(runs(one), runs(other))) == covered(one) - covered(other)
    points = np.arange(31)
    assert intervals.inside(points, runs(one)).tolist() == [point in covered(one) for point in points]

"""Rules of splits, as laws."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from findna_kit.evaluation.kmers import NEAR, NEAR_K, near_pairs, nearest_rows, scale_for, sketch
from findna_kit.evaluation.tasks.clusters import split_by_cluster
from findna_kit.evaluation.tasks.split_rules import SPLITS, split_by_class, split_by_group
from findna_kit.evaluation.tasks.task_file import SplitShares

SHARES = st.tuples(st.floats(0.05, 0.45), st.floats(0.05, 0.45)).map(
    lambda pair: SplitShares(validation=pair[0], test=pair[1])
)  # fmt: skip
ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), min_size=6, max_size=150)


@given(ROWS, SHARES, st.integers(0, 9))
def test_groups_are_never_divided_and_no_split_is_empty(rows, shares, seed):
    labels = np.array([label for label, _ in rows])
    _, group = np.unique([group for _, group in rows], return_inverse=True)
    split = split_by_group(group, labels, shares, seed)
    assert all(len(set(split[group == number].tolist())) == 1 for number in range(group.max() + 1))
    assert len(set(split.tolist())) == min(len(SPLITS), group.max() + 1)
    assert np.array_equal(split, split_by_group(group, labels, shares, seed))


@given(st.lists(st.integers(0, 2), min_size=6, max_size=150).map(np.array), SHARES, st.integers(0, 9))
def test_groups_of_one_sample_meet_the_shares_in_each_class(labels, shares, seed):
    for split in (split_by_class(labels, shares, seed), split_by_group(np.arange(len(labels)), labels, shares, seed)):
        for label in set(labels.tolist()):
            found = np.bincount(split[labels == label], minlength=3)
            wanted = found.sum() * np.array([1 - shares.of_validation - shares.of_test, shares.of_validation, shares.of_test])
            assert np.all(np.abs(found - wanted) <= 2.5), (found, wanted)


def test_another_seed_is_another_split_of_groups_of_similar_size():
    group, labels = np.arange(600) // 20, np.arange(600) % 2
    splits = {tuple(split_by_group(group, labels, SplitShares(), seed).tolist()) for seed in range(5)}
    assert len(splits) == 5


@pytest.mark.parametrize("copies", [1, 6, 50])
def test_what_the_search_finds_between_splits_joins_the_clusters(copies):
    """A repeat in many sequences crowds the index: the split is what the audit's own search confirms."""
    draw = random.Random(3)
    repeats = ["".join(draw.choices("ACGT", k=90)) for _ in range(6)]
    rows = sorted(
        "".join(draw.choices("ACGT", k=10)) + repeat + "".join(draw.choices("ACGT", k=10))
        for repeat in repeats for _ in range(copies)
    )  # fmt: skip
    rows += sorted("".join(draw.choices("ACGT", k=110)) for _ in range(200))
    made = split_by_cluster(rows, np.arange(len(rows)) % 2, SplitShares(validation=0.3, test=0.3), 0)
    scale = scale_for(rows, NEAR_K)
    parts = [sketch([rows[row] for row in np.flatnonzero(made.split == part)], NEAR_K, scale) for part in range(3)]
    for one, other in ((2, 0), (2, 1), (1, 0), (0, 2)):
        assert nearest_rows(parts[one], parts[other])[1].max() < NEAR
    # A cluster is a repeat, or a sequence without one.
    assert len(set(made.cluster.tolist())) == 206
    assert all(np.unique(made.split[made.cluster == number]).size == 1 for number in range(206))


def test_copies_of_every_spelling_are_one_cluster():
    one = "".join(random.Random(4).choices("ACGT", k=15))
    rows = [one, one.lower(), one.replace("T", "U"), one[::-1].translate(str.maketrans("ACGT", "TGCA")), "AC-TT", "AANGT"]
    others = ["".join(random.Random(seed).choices("ACGT", k=15)) for seed in range(5, 40)]
    cluster = split_by_cluster(rows + others, np.arange(len(rows + others)) % 2, SplitShares(), 0).cluster
    assert len(set(cluster[:4].tolist())) == 1
    assert cluster[4] == cluster[5]
    assert len(set(cluster.tolist())) == 37


def test_near_pairs_are_those_of_the_search_without_a_row_and_itself():
    draw = random.Random(9)
    rows = ["".join(draw.choices("ACGT", k=80)) for _ in range(20)]
    rows.append(rows[3][:60] + "".join(draw.choices("ACGT", k=20)))
    first, second = near_pairs(sketch(rows, NEAR_K, 1))
    assert {tuple(sorted(pair)) for pair in zip(first.tolist(), second.tolist(), strict=True)} == {(3, 20)}

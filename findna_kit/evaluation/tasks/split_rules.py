"""Rules that split samples without published splits: by class, or by groups that are not divided between splits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from findna_kit.evaluation.tasks.splits import held_out

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from findna_kit.evaluation.tasks.task_file import SplitShares

    Integers = NDArray[np.int64]

SPLITS = ("train", "dev", "test")


def split_by_class(labels: Integers, shares: SplitShares, seed: int) -> Integers:
    """Return the split of each sample [n], as an index of SPLITS: random shares of each class."""
    test = held_out(labels, shares.of_test, seed)
    split = np.where(test, SPLITS.index("test"), SPLITS.index("train"))
    # The share is of all samples, while only those outside the test split are left to draw from.
    dev = held_out(labels[~test], shares.of_validation / (1 - shares.of_test), seed + 1)
    split[np.flatnonzero(~test)[dev]] = SPLITS.index("dev")
    return split


def split_by_group(group: Integers, labels: Integers, shares: SplitShares, seed: int) -> Integers:
    """Return the split of each sample [n], as an index of SPLITS; samples of one group [n] are in one split.

    Large groups come first, those of similar size in a random order; each goes where it brings the numbers of samples by
    class closest to the shares (least squares relative to the wanted numbers). No split is left empty if there are enough
    groups. The shares are met as far as the groups allow.
    """
    # Classes without samples have no wanted number to compare with.
    classes, label = np.unique(labels, return_inverse=True)
    counts = np.zeros((int(group.max()) + 1, len(classes)))
    np.add.at(counts, (group, label), 1)
    wanted = np.outer([1 - shares.of_validation - shares.of_test, shares.of_validation, shares.of_test], counts.sum(0))
    order = np.random.default_rng(seed).permutation(len(counts))
    # Sizes are compared by their power of two, so that the seed decides among groups of similar size.
    magnitude = np.floor(np.log2(counts.sum(1)))
    filled = np.zeros_like(wanted)
    split_of = np.zeros(len(counts), dtype=np.int64)
    for left, number in zip(
        range(len(order), 0, -1), order[np.argsort(-magnitude[order], kind="stable")].tolist(), strict=True
    ):  # fmt: skip
        added = counts[number]
        cost = (added * (2 * (filled - wanted) + added) / wanted).sum(1)
        empty = filled.sum(1) == 0
        if left <= empty.sum():
            # The last groups go to the splits that have none yet.
            cost[~empty] = np.inf
        split_of[number] = chosen = int(cost.argmin())
        filled[chosen] += added
    return split_of[group]

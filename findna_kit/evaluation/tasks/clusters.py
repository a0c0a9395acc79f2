"""Splits that keep near duplicates together: the clusters are what the leakage audit calls the same or near."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from findna_kit import alphabet
from findna_kit.evaluation.kmers import (
    NEAR,
    NEAR_K,
    Sketch,
    near_pairs,
    nearest_rows,
    plain_letters,
    scale_for,
    sketch,
)
from findna_kit.evaluation.tasks.split_rules import SPLITS, split_by_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from findna_kit.evaluation.tasks.task_file import SplitShares

    Integers = NDArray[np.int64]


@dataclass(frozen=True)
class ClusterSplit:
    """The cluster of each sample [n], and its split [n] as an index of SPLITS."""

    cluster: Integers
    split: Integers


def split_by_cluster(sequences: Sequence[str], labels: Integers, shares: SplitShares, seed: int) -> ClusterSplit:
    """Return a split in which no sample has a copy, a reverse complement or a near copy in another split.

    Samples are near if the audit says so; a chain of near samples is one cluster.
    """
    plain = plain_letters(sequences)
    sampled = sketch(plain, NEAR_K, scale_for(plain, NEAR_K))
    cluster = _clusters(plain, sampled)
    while True:
        split = split_by_group(cluster, labels, shares, seed)
        # The search looks at the nearest few of each sample. What it finds between the splits joins their clusters.
        first, second = _near_across(sampled, split)
        if not first.size:
            return ClusterSplit(cluster, split)
        cluster = _joined(cluster, cluster[first], cluster[second])


def _clusters(plain: Sequence[str], sampled: Sketch) -> Integers:
    """Return the number of the cluster of each sequence [n]."""
    # A gap is read as N, as models do.
    ungapped = [sequence.replace("-", "N") for sequence in plain]
    # A sequence and its reverse complement are one molecule: the smaller of both stands for it.
    molecules = [min(sequence, alphabet.reverse_complement(sequence)) for sequence in ungapped]
    _, first_row, molecule = np.unique(np.array(molecules, dtype=object), return_index=True, return_inverse=True)
    # Copies are left out of the search, so that they do not take the places of near ones.
    rows = np.sort(first_row)
    first, second = near_pairs(_rows(sampled, rows))
    return _joined(molecule, molecule[rows[first]], molecule[rows[second]])


def _near_across(sampled: Sketch, split: Integers) -> tuple[Integers, Integers]:
    """Return pairs of near samples that are in different splits, as the audit of the split finds them."""
    found = [np.empty((2, 0), dtype=np.int64)]
    # The audit searches the samples of the later split among those of the earlier one.
    for reference, query in combinations(range(len(SPLITS)), 2):
        rows, others = np.flatnonzero(split == query), np.flatnonzero(split == reference)
        nearest, share = nearest_rows(_rows(sampled, rows), _rows(sampled, others))
        near = share >= NEAR
        found.append(np.stack([rows[near], others[nearest[near]]]))
    first, second = np.concatenate(found, axis=1)
    return first, second


def _rows(sampled: Sketch, rows: Integers) -> Sketch:
    """Return the sketch of some of the sequences, given in ascending order."""
    number = np.full(len(sampled.count), -1, dtype=np.int64)
    number[rows] = np.arange(len(rows))
    row = number[sampled.row]
    return Sketch(row[row >= 0], sampled.code[row >= 0], sampled.count[rows])


def _joined(cluster: Integers, first: Integers, second: Integers) -> Integers:
    """Return the clusters [n] after those of each pair were joined, numbered from 0."""
    # Imported here because scipy takes long to import, and most tasks do not need it.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = int(cluster.max()) + 1
    graph = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(size, size))
    _, joined = connected_components(graph, directed=False)
    return np.asarray(joined, dtype=np.int64)[cluster]

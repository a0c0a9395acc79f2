"""What every score stands beside: a probe on k-mer counts, and the most frequent class."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from findna_kit import alphabet
from findna_kit.evaluation.protocols import Features, Fitted, few_shot, probe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from findna_kit.evaluation.scores import Labels, Scores
    from findna_kit.evaluation.tasks import Task

WORD_LENGTHS = (3, 4, 5)
SHOT_WORDS = 4
"""Bases of the words that a few-shot probe counts: nothing is chosen there."""
_CELLS = 2**22
"""Bases and counts held at once, while features are made."""


def kmer_control(task: Task) -> tuple[Scores, dict[str, object]]:
    """Test probabilities [n, K] of the probe on k-mer frequencies, and what was chosen: k and C, the smaller k of equals."""
    best: tuple[int, Fitted] | None = None
    for k in WORD_LENGTHS:
        fitted = probe(_features(task, k))
        if best is None or fitted.score > best[1].score:
            best = k, fitted
    assert best is not None  # there are word lengths
    k, fitted = best
    return fitted.scores(kmer_features(task.parts["test"].sequences, k)), {"k": k, **fitted.chosen}


def kmer_few_shot(task: Task, shots: int, *, seed: int) -> tuple[Scores, dict[str, object]]:
    """The same of the few-shot probe, on the rows that the encoder's has."""
    fitted = few_shot(_features(task, SHOT_WORDS), shots, seed=seed)
    return fitted.scores(kmer_features(task.parts["test"].sequences, SHOT_WORDS)), {"k": SHOT_WORDS, **fitted.chosen}


def majority_control(task: Task) -> tuple[Scores, dict[str, object]]:
    """The most frequent class of the train part for every test row [n, K], the first of equals."""
    label = int(np.bincount(task.parts["train"].labels).argmax())
    scores = np.zeros((len(task.parts["test"].labels), len(task.classes)), dtype=np.float32)
    scores[:, label] = 1
    return scores, {"class": task.classes[label]}


def _features(task: Task, k: int) -> Features:
    train, validation = task.parts["train"], task.parts["validation"]
    return Features(
        kmer_features(train.sequences, k), train.labels, kmer_features(validation.sequences, k), validation.labels,
        len(task.classes),
    )  # fmt: skip


def kmer_features(sequences: Sequence[str], k: int) -> NDArray[np.float32]:
    """[n, 4^k + 1]: frequencies of the k-mers in lexicographic order, then the share of G and C among known bases.

    K-mers with N are not counted; where none is left, the frequencies are zero.
    """
    features = np.zeros((len(sequences), 4**k + 1), dtype=np.float32)
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    # Whole sequences are taken together up to a bound of memory, whatever their number and their lengths.
    piece = np.cumsum(lengths + 4**k) // _CELLS
    cuts = [0, *(np.flatnonzero(np.diff(piece)) + 1).tolist(), len(sequences)]
    for start, end in pairwise(cuts):
        counts, known, strong = _count("".join(sequences[start:end]), lengths[start:end], k)
        features[start:end, :-1] = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        features[start:end, -1] = strong / np.maximum(known, 1)
    return features


def _count(text: str, lengths: Labels, k: int) -> tuple[Labels, Labels, Labels]:
    """Of each sequence of the concatenation: its k-mers [n, 4^k], its known bases [n], its G and C [n]."""
    n = len(lengths)
    tokens = alphabet.encode(text)
    row = np.repeat(np.arange(n), lengths)
    known = tokens < alphabet.N
    strong = (tokens == alphabet.C) | (tokens == alphabet.G)
    starts = max(len(tokens) - k + 1, 0)
    code = np.zeros(starts, dtype=np.int64)
    whole = row[:starts] == row[len(tokens) - starts :]  # the last base is in the same sequence as the first
    for place in range(k):
        code = code * 4 + tokens[place : place + starts]
        whole &= known[place : place + starts]
    counts = np.bincount((row[:starts] * 4**k + code)[whole], minlength=n * 4**k)
    return counts.reshape(n, 4**k), np.bincount(row[known], minlength=n), np.bincount(row[strong], minlength=n)

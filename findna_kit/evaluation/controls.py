"""Controls that need no network: a probe on k-mer frequencies, and the most frequent class."""

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

KMER_LENGTHS = (3, 4, 5)
FEW_SHOT_K = 4
"""The k of the few-shot probe, where nothing is chosen."""
_CHUNK = 2**22
"""Bases and counts held at once while features are computed."""


def kmer_control(task: Task) -> tuple[Scores, dict[str, object]]:
    """Return the test probabilities [n, K] of a linear probe on k-mer frequencies, and the chosen hyperparameters.

    k and C are chosen on the validation split; of equal k the smaller.
    """
    best: tuple[int, Fitted] | None = None
    for k in KMER_LENGTHS:
        fitted = probe(_features(task, k))
        # A longer k must be better, not only equal, to be chosen: it has four times as many features.
        if best is None or fitted.score > best[1].score:
            best = k, fitted
    assert best is not None  # KMER_LENGTHS is not empty
    k, fitted = best
    return fitted.scores(kmer_features(task.splits["test"].sequences, k)), {"k": k, **fitted.chosen}


def kmer_few_shot(task: Task, shots: int, *, seed: int) -> tuple[Scores, dict[str, object]]:
    """Return the same of a few-shot probe, fitted on the samples that the encoder's few-shot probe uses."""
    fitted = few_shot(_features(task, FEW_SHOT_K), shots, seed=seed)
    return fitted.scores(kmer_features(task.splits["test"].sequences, FEW_SHOT_K)), {"k": FEW_SHOT_K, **fitted.chosen}


def majority_control(task: Task) -> tuple[Scores, dict[str, object]]:
    """Return the most frequent class of the training split for every test sample [n, K]; the first of equals."""
    # The training split's majority, not the test split's, which a classifier cannot know.
    label = int(np.bincount(task.splits["train"].labels).argmax())
    scores = np.zeros((len(task.splits["test"].labels), len(task.classes)), dtype=np.float32)
    scores[:, label] = 1
    return scores, {"class": task.classes[label]}


def _features(task: Task, k: int) -> Features:
    train, validation = task.splits["train"], task.splits["validation"]
    return Features(
        kmer_features(train.sequences, k), train.labels, kmer_features(validation.sequences, k), validation.labels,
        len(task.classes),
    )  # fmt: skip


def kmer_features(sequences: Sequence[str], k: int) -> NDArray[np.float32]:
    """Return the frequencies of the k-mers in lexicographic order, and the GC share of the known bases [n, 4^k + 1].

    K-mers with N are not counted; if none is left, the frequencies are zero.
    """
    features = np.zeros((len(sequences), 4**k + 1), dtype=np.float32)
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    # Sequences are counted in chunks of bounded memory, whatever their number and lengths.
    chunk = np.cumsum(lengths + 4**k) // _CHUNK
    cuts = [0, *(np.flatnonzero(np.diff(chunk)) + 1).tolist(), len(sequences)]
    for start, end in pairwise(cuts):
        counts, known, gc = _count("".join(sequences[start:end]), lengths[start:end], k)
        # Frequencies and not counts, so that length is no feature of its own.
        features[start:end, :-1] = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        features[start:end, -1] = gc / np.maximum(known, 1)
    return features


def _count(text: str, lengths: Labels, k: int) -> tuple[Labels, Labels, Labels]:
    """Return the counts of k-mers [n, 4^k], of known bases [n] and of G and C [n] of each concatenated sequence."""
    n = len(lengths)
    tokens = alphabet.encode(text)
    row = np.repeat(np.arange(n), lengths)
    known = tokens < alphabet.N
    is_gc = (tokens == alphabet.C) | (tokens == alphabet.G)
    starts = max(len(tokens) - k + 1, 0)
    code = np.zeros(starts, dtype=np.int64)
    counted = row[:starts] == row[len(tokens) - starts :]  # the last base is in the same sequence as the first
    # Each pass appends one base to the code of every k-mer: k vectorised passes instead of a loop over bases.
    for offset in range(k):
        code = code * 4 + tokens[offset : offset + starts]
        counted &= known[offset : offset + starts]
    # One histogram over (sequence, k-mer) pairs counts all sequences at once.
    counts = np.bincount((row[:starts] * 4**k + code)[counted], minlength=n * 4**k)
    return counts.reshape(n, 4**k), np.bincount(row[known], minlength=n), np.bincount(row[is_gc], minlength=n)

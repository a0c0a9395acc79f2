"""Controls that need no network: probes on k-mer frequencies and on one-hot bases, and the most frequent class."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from findna_kit.evaluation.base_features import kmer_features, sparse_kmer_features, sparse_one_hot
from findna_kit.evaluation.protocols import INVERSE_PENALTIES, Features, FittedProbe, few_shot, probe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from findna_kit.evaluation.scores import Scores
    from findna_kit.evaluation.tasks import Task

    Chosen = dict[str, Any]

KMER_LENGTHS = (1, 2, 3, 4, 5, 6, 7)
KMER_PENALTIES = (1e-6, 1e-5, *INVERSE_PENALTIES)
"""Long k-mers are many, and need stronger penalties than embeddings."""
FEW_SHOT_K = 4
"""The k of the few-shot probe, where nothing is chosen."""
_DENSE_K = 4
"""Up to this k features are centred and dense, which converges in fewer iterations; longer k-mers are sparse."""
_MAX_BASES = 2**25
"""Of a task with more bases in its training split only k-mers of up to `_LONG_TASK_K` are tried, which bounds memory."""
_LONG_TASK_K = 5
REVISION = 2
"""Raise it when a control's computation changes, here or in its settings: cached predictions are then made again."""


def kmer_control(task: Task) -> tuple[Scores, Chosen]:
    """Return the test probabilities [n, K] of a linear probe on k-mer frequencies, and the chosen hyperparameters.

    k, C and whether a k-mer and its reverse complement are one feature are chosen on the validation split; of equal choices
    the smaller k, and merged strands.
    """
    best: tuple[int, bool, FittedProbe] | None = None
    bases = sum(map(len, task.splits["train"].sequences))
    longest = KMER_LENGTHS[-1] if bases <= _MAX_BASES else _LONG_TASK_K
    for k, merged in product((k for k in KMER_LENGTHS if k <= longest), (True, False)):
        fitted = probe(_features(task, partial(_counted, k=k, merged=merged)), KMER_PENALTIES)
        # A longer k must be better, not only equal, to be chosen: it has more features.
        if best is None or fitted.score > best[2].score:
            best = k, merged, fitted
    assert best is not None  # KMER_LENGTHS is not empty
    k, merged, fitted = best
    chosen = {"k": k, "strands": "merged" if merged else "separate", "longest_k": longest, **fitted.chosen}
    return fitted.scores(_counted(task.splits["test"].sequences, k=k, merged=merged)), chosen


def kmer_few_shot(task: Task, shots: int, *, seed: int) -> tuple[Scores, Chosen]:
    """Return the same of a few-shot probe, fitted on the samples that the encoder's few-shot probe uses."""
    fitted = few_shot(_features(task, partial(kmer_features, k=FEW_SHOT_K)), shots, seed=seed)
    return fitted.scores(kmer_features(task.splits["test"].sequences, FEW_SHOT_K)), {"k": FEW_SHOT_K, **fitted.chosen}


def has_one_length(task: Task) -> bool:
    """Return whether all sequences of the task have the same length, so that positions can be compared."""
    return len({len(sequence) for split in task.splits.values() for sequence in split.sequences}) == 1


def one_hot_control(task: Task) -> tuple[Scores, Chosen]:
    """Return the test probabilities [n, K] of a linear probe on one-hot bases, and the chosen hyperparameters."""
    fitted = probe(_features(task, sparse_one_hot))
    return fitted.scores(sparse_one_hot(task.splits["test"].sequences)), fitted.chosen


def one_hot_few_shot(task: Task, shots: int, *, seed: int) -> tuple[Scores, Chosen]:
    """Return the same of a few-shot probe, fitted on the samples that the encoder's few-shot probe uses."""
    fitted = few_shot(_features(task, sparse_one_hot), shots, seed=seed)
    return fitted.scores(sparse_one_hot(task.splits["test"].sequences)), fitted.chosen


def majority_control(task: Task) -> tuple[Scores, Chosen]:
    """Return the most frequent class of the training split for every test sample [n, K]; the first of equals."""
    # The training split's majority, not the test split's, which a classifier cannot know.
    label = int(np.bincount(task.splits["train"].labels).argmax())
    scores = np.zeros((len(task.splits["test"].labels), len(task.classes)), dtype=np.float32)
    scores[:, label] = 1
    return scores, {"class": task.classes[label]}


def _counted(sequences: Sequence[str], *, k: int, merged: bool) -> Any:
    features = sparse_kmer_features(sequences, k, merged=merged)
    return features.toarray() if k <= _DENSE_K else features


def _features(task: Task, features_of: Callable[[Sequence[str]], Any]) -> Features:
    train, validation = task.splits["train"], task.splits["validation"]
    return Features(
        features_of(train.sequences), train.labels, features_of(validation.sequences), validation.labels, len(task.classes)
    )  # fmt: skip

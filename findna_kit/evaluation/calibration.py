"""Confusion matrix and calibration of predicted probabilities, over all seeds of a prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from findna_kit.evaluation.scores import confusion
from findna_kit.records.evaluation_json import Calibration, CalibrationBin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.evaluation.scores import Labels, Scores

BINS = 10


def confusion_counts(truth: Labels, scores: Sequence[Scores]) -> list[list[int]]:
    """Return the number of test samples [K, K] by true class (rows) and most probable class (columns), summed over seeds.

    scores: for each seed the scores of the classes [n, K].
    """
    total = sum(confusion(truth, np.asarray(by_seed.argmax(1)), by_seed.shape[1]) for by_seed in scores)
    counts: list[list[int]] = np.asarray(total, dtype=np.int64).tolist()
    return counts


def calibration(truth: Labels, probabilities: Sequence[Scores]) -> Calibration:
    """Return how often the most probable class is right, by its probability, over the samples of all seeds.

    probabilities: for each seed [n, K]. The error is the expected calibration error (Naeini et al. 2015): the mean distance
    between both in bins of equal width, weighted by their samples.
    """
    confidence = np.concatenate([by_seed.max(1) for by_seed in probabilities]).astype(np.float64)
    right = np.concatenate([by_seed.argmax(1) == truth for by_seed in probabilities])
    # A probability of 1 belongs to the last bin.
    number = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    bins = [
        CalibrationBin(
            low=index / BINS, high=(index + 1) / BINS, samples=int(inside.sum()),
            confidence=float(confidence[inside].mean()), accuracy=float(right[inside].mean()),
        )
        for index in range(BINS)
        if (inside := number == index).any()
    ]  # fmt: skip
    error = sum(one.samples * abs(one.confidence - one.accuracy) for one in bins) / len(confidence)
    return Calibration(error=error, bins=bins)

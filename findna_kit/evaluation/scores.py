"""Accuracy, Matthews correlation and macro-F1 with bootstrap intervals over the test rows.

All three depend on the confusion matrix alone, and a resample of n rows with replacement has a confusion matrix that is a
multinomial draw from the observed cells: thousands of resamples are one draw, and the scores are functions of a stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Labels = NDArray[np.int64]
    Floats = NDArray[np.float64]

RESAMPLES = 2000
LEVEL = 0.95


class Interval(TypedDict):
    """A value with the ends of its percentile interval (Efron and Tibshirani 1993, ch. 13)."""

    value: float
    low: float
    high: float


def confusion(truth: Labels, predicted: Labels, classes: int) -> Floats:
    """Counts [K, K]: rows are the true classes, columns the predicted ones."""
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes).astype(np.float64)


def accuracy(stack: Floats) -> Floats:
    """Share of right predictions [...] of confusion matrices [..., K, K]."""
    right: Floats = np.trace(stack, axis1=-2, axis2=-1) / stack.sum((-2, -1))
    return right


def mcc(stack: Floats) -> Floats:
    """Matthews correlation [...] for any number of classes (Gorodkin 2004); 0 where truth or prediction has one class only."""
    total = stack.sum((-2, -1))
    true, predicted = stack.sum(-1), stack.sum(-2)
    covariance = np.trace(stack, axis1=-2, axis2=-1) * total - (true * predicted).sum(-1)
    spread = (total**2 - (true**2).sum(-1)) * (total**2 - (predicted**2).sum(-1))
    correlation: Floats = np.divide(covariance, np.sqrt(spread), out=np.zeros_like(total), where=spread > 0)
    return correlation


def macro_f1(stack: Floats) -> Floats:
    """Mean of F1 [...] over the classes that are in the truth or the prediction."""
    size = stack.sum(-1) + stack.sum(-2)  # 2 TP + FP + FN
    f1 = np.divide(2 * np.diagonal(stack, axis1=-2, axis2=-1), size, out=np.zeros_like(size), where=size > 0)
    mean: Floats = f1.sum(-1) / (size > 0).sum(-1)
    return mean


SCORES: dict[str, Callable[[Floats], Floats]] = {"accuracy": accuracy, "mcc": mcc, "macro_f1": macro_f1}


def intervals(truth: Labels, predicted: Labels, classes: int, *, seed: int) -> dict[str, Interval]:
    """Each score of a prediction, with its interval."""
    table = confusion(truth, predicted, classes)
    (stack,) = _resample(truth, [predicted], classes, seed)
    return {name: _interval(score(table), score(stack)) for name, score in SCORES.items()}


def differences(truth: Labels, first: Labels, second: Labels, classes: int, *, seed: int) -> dict[str, Interval]:
    """Each score of `first` minus that of `second`, resampled together: what both find hard cancels."""
    tables = [confusion(truth, predicted, classes) for predicted in (first, second)]
    stacks = _resample(truth, [first, second], classes, seed)
    return {
        name: _interval(score(tables[0]) - score(tables[1]), score(stacks[0]) - score(stacks[1]))
        for name, score in SCORES.items()
    }


def verdict(difference: Interval) -> str:
    """`above` or `below` where the interval lies on one side of zero, else `not distinguishable`."""
    if difference["low"] > 0:
        return "above"
    return "below" if difference["high"] < 0 else "not distinguishable"


def _resample(truth: Labels, predictions: Sequence[Labels], classes: int, seed: int) -> list[Floats]:
    """A stack [RESAMPLES, K, K] for each prediction; the same rows are drawn for all of them."""
    combined = np.ravel_multi_index((truth, *predictions), (classes,) * (1 + len(predictions)))
    # Only cells that occur: with many classes most of the joint table is empty.
    cells, counts = np.unique(combined, return_counts=True)
    draws = np.random.default_rng(seed % 2**64).multinomial(len(truth), counts / len(truth), size=RESAMPLES).astype(np.float64)
    true, *predicted = np.unravel_index(cells, (classes,) * (1 + len(predictions)))
    stacks = []
    for labels in predicted:
        into = np.zeros((len(cells), classes**2))
        into[np.arange(len(cells)), true * classes + labels] = 1
        stacks.append((draws @ into).reshape(RESAMPLES, classes, classes))
    return stacks


def _interval(value: Floats, resampled: Floats) -> Interval:
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value=float(value), low=float(low), high=float(high))

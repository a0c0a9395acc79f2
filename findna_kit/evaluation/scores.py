"""Accuracy, Matthews correlation, macro-F1 and the areas under the ROC and precision-recall curves, resampled for intervals.

A resample of n test rows is a weight for each row, how often it was drawn; every score is a function of weighted rows, so that
hundreds of resamples are scored at once. The same weights serve every prediction: differences are paired, and what all find
hard cancels. Where something random was repeated (seeds), a resample draws among the repeats too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NotRequired, TypedDict

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Labels = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Scores = NDArray[np.float32]

RESAMPLES = 2000
LEVEL = 0.95
_CELLS = 2**20
"""Weights held at once."""


class Interval(TypedDict):
    """A value with the ends of its percentile interval (Efron and Tibshirani 1993, ch. 13), and the deviation over seeds."""

    value: float
    low: float
    high: float
    deviation: NotRequired[float]


@dataclass(frozen=True)
class Resampled:
    """By score: its value in each of S repeats [S], and its mean over repeats in each resample [R]."""

    values: Mapping[str, Floats]
    draws: Mapping[str, Floats]

    def interval(self, name: str) -> Interval:
        """The mean over repeats; `deviation` (n - 1) where there are several."""
        values = self.values[name]
        found = _interval(values.mean(), self.draws[name])
        return found if len(values) == 1 else {**found, "deviation": float(values.std(ddof=1))}

    def minus(self, other: Resampled, name: str) -> Interval:
        """The difference, resampled together."""
        return _interval(self.values[name].mean() - other.values[name].mean(), self.draws[name] - other.draws[name])


def resampled(
    truth: Labels, predictions: Mapping[str, Sequence[Scores]], classes: int, *, seed: int
) -> dict[str, Resampled]:  # fmt: skip
    """Each prediction's scores. predictions: by name, for each repeat the classes' scores [n, K]; the largest is the label."""
    whole = np.ones((1, len(truth)))
    repeats = {
        name: [_Weighed(truth, scores, classes) for scores in each] for name, each in predictions.items()
    }  # fmt: skip
    values = {name: [one(whole) for one in each] for name, each in repeats.items()}
    drawn: dict[str, list[list[dict[str, Floats]]]] = {name: [] for name in repeats}
    for weights in _weights(len(truth), seed):
        for name, each in repeats.items():
            drawn[name].append([one(weights) for one in each])
    return {
        name: Resampled(
            {score: np.array([float(one[score][0]) for one in values[name]]) for score in SCORES},
            {score: _over_repeats([[one[score] for one in each] for each in drawn[name]], seed) for score in SCORES},
        )
        for name in repeats
    }


def verdict(difference: Interval) -> str:
    """`above` or `below` where the interval lies on one side of zero, else `not distinguishable`."""
    if difference["low"] > 0:
        return "above"
    return "below" if difference["high"] < 0 else "not distinguishable"


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


OF_LABELS: dict[str, Callable[[Floats], Floats]] = {"accuracy": accuracy, "mcc": mcc, "macro_f1": macro_f1}
SCORES = (*OF_LABELS, "auroc", "auprc")


class _Weighed:
    """One prediction, ready to be scored under any weights [R, n] of its rows."""

    def __init__(self, truth: Labels, scores: Scores, classes: int) -> None:
        self.classes = classes
        predicted = scores.argmax(1)
        # Rows by the cell of the table that they fall into, and only cells that occur: with many classes most are empty.
        cell = truth * classes + predicted
        self.order = np.argsort(cell, kind="stable")
        self.cells, self.first = np.unique(cell[self.order], return_index=True)
        # Of two classes the second is the positive one, as every suite has it; of more, each against the rest.
        asked = [1] if classes == 2 else range(classes)
        self.ranked = [_Ranked(truth == one, scores[:, one]) for one in asked]

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Every score [R]."""
        table = np.zeros((len(weights), self.classes**2))
        table[:, self.cells] = np.add.reduceat(np.take(weights, self.order, axis=1), self.first, axis=1)
        stack = table.reshape(-1, self.classes, self.classes)
        areas = np.stack([ranked(weights) for ranked in self.ranked])
        there = np.isfinite(areas)
        # A class without a row, or without a row of the others, has no curve; where none has, nothing is known: one half.
        mean = np.where(there, areas, 0).sum(0) / np.maximum(there.sum(0), 1)
        auroc, auprc = np.where(there.any(0), mean, 0.5).T
        return {**{name: score(stack) for name, score in OF_LABELS.items()}, "auroc": auroc, "auprc": auprc}


class _Ranked:
    """One class against the rest: rows from the highest score down, equals taken together as one group.

    Only groups with a positive row count in either area, so that of many classes each costs little.
    """

    def __init__(self, positive: NDArray[np.bool_], score: Scores) -> None:
        self.order = np.argsort(-score, kind="stable")
        ordered = score[self.order]
        new = np.concatenate([[True], ordered[1:] != ordered[:-1]])
        self.rows = np.flatnonzero(positive[self.order])
        groups, self.first = np.unique(new.cumsum()[self.rows] - 1, return_index=True)
        edges = np.append(np.flatnonzero(new), len(new))
        self.start, self.end = edges[groups], edges[groups + 1]

    def __call__(self, weights: Floats) -> Floats:
        """Areas under the ROC and the precision-recall curve [R, 2]; NaN where a side has no row.

        The first is the chance that a positive stands before a negative, ties halved (Hanley and McNeil 1982); the second
        average precision, the sum of precision times the gain in recall.
        """
        if not len(self.rows):
            return np.full((len(weights), 2), np.nan)
        above = np.zeros((len(weights), len(self.order) + 1))  # how much stands before each place
        ordered = np.take(weights, self.order, axis=1)
        ordered.cumsum(1, out=above[:, 1:])
        right = np.add.reduceat(np.take(ordered, self.rows, axis=1), self.first, axis=1)
        start, end = np.take(above, self.start, axis=1), np.take(above, self.end, axis=1)
        so_far = right.cumsum(1)
        positives, negatives = so_far[:, -1], above[:, -1] - so_far[:, -1]
        passed = (start - (so_far - right) + end - so_far) / 2  # negatives before the group, and half of those in it
        precision = np.divide(so_far, end, out=np.zeros_like(so_far), where=so_far > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            auroc = (right * (negatives[:, None] - passed)).sum(1) / (positives * negatives)
            auprc = (right * precision).sum(1) / positives
        areas: Floats = np.where(((positives > 0) & (negatives > 0))[:, None], np.stack([auroc, auprc], axis=1), np.nan)
        return areas


def _weights(rows: int, seed: int) -> Iterator[Floats]:
    """How often each row is drawn in each of RESAMPLES resamples, some resamples at a time: [R, n]."""
    generator = np.random.default_rng(seed % 2**64)
    at_once = max(1, _CELLS // rows)
    for start in range(0, RESAMPLES, at_once):
        count = min(at_once, RESAMPLES - start)
        drawn = generator.integers(rows, size=(count, rows)) + np.arange(count)[:, None] * rows
        yield np.bincount(drawn.ravel(), minlength=count * rows).reshape(count, rows).astype(np.float64)


def _over_repeats(pieces: Sequence[Sequence[Floats]], seed: int) -> Floats:
    """The mean [R] over S repeats drawn with replacement; who has as many repeats is drawn the same, so that they pair."""
    table = np.concatenate([np.stack(piece, axis=1) for piece in pieces])
    repeats = table.shape[1]
    if repeats == 1:
        return np.asarray(table[:, 0])
    chosen = np.random.default_rng([seed % 2**64, repeats]).integers(repeats, size=table.shape)
    return np.asarray(np.take_along_axis(table, chosen, axis=1).mean(1))


def _interval(value: float, draws: Floats) -> Interval:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value=float(value), low=float(low), high=float(high))

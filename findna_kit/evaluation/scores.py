"""Classification scores under sample weights: accuracy, Matthews correlation, macro-F1, and areas under ROC and PR curves.

A bootstrap resample of n samples is a weight for each sample: how often it was drawn. All scores are functions of weights
[R, n], so that hundreds of resamples are scored at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from findna_kit.records.evaluation_json import SCORES as SCORES

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Labels = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Scores = NDArray[np.float32]


def confusion(truth: Labels, predicted: Labels, classes: int) -> Floats:
    """Return the confusion matrix [K, K]: rows are the true classes, columns the predicted ones."""
    # Each cell of the matrix is one number, so that counting is a single pass.
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes).astype(np.float64)


def accuracy(stack: Floats) -> Floats:
    """Return the share of correct predictions [...] of confusion matrices [..., K, K]."""
    correct: Floats = np.trace(stack, axis1=-2, axis2=-1) / stack.sum((-2, -1))
    return correct


def mcc(stack: Floats) -> Floats:
    """Return the Matthews correlation [...] of confusion matrices [..., K, K], for any number of classes (Gorodkin 2004).

    It is 0 if the truth or the prediction has one class only.
    """
    total = stack.sum((-2, -1))
    true, predicted = stack.sum(-1), stack.sum(-2)
    covariance = np.trace(stack, axis1=-2, axis2=-1) * total - (true * predicted).sum(-1)
    spread = (total**2 - (true**2).sum(-1)) * (total**2 - (predicted**2).sum(-1))
    # The definition is 0 / 0 if one side has a single class; 0 means no association.
    correlation: Floats = np.divide(covariance, np.sqrt(spread), out=np.zeros_like(total), where=spread > 0)
    return correlation


def macro_f1(stack: Floats) -> Floats:
    """Return the mean F1 [...] over the classes that occur in the truth or the prediction."""
    size = stack.sum(-1) + stack.sum(-2)  # 2 TP + FP + FN
    f1 = np.divide(2 * np.diagonal(stack, axis1=-2, axis2=-1), size, out=np.zeros_like(size), where=size > 0)
    # Classes that are neither true nor predicted are left out of the mean, as in scikit-learn.
    mean: Floats = f1.sum(-1) / (size > 0).sum(-1)
    return mean


CONFUSION_SCORES: dict[str, Callable[[Floats], Floats]] = {"accuracy": accuracy, "mcc": mcc, "macro_f1": macro_f1}


class WeightedScores:
    """The scores of one prediction under any sample weights. `scores` [n, K]: the largest of a sample is its label."""

    def __init__(self, truth: Labels, scores: Scores, classes: int) -> None:
        self.classes = classes
        predicted = scores.argmax(1)
        # Samples are grouped by their cell of the confusion matrix. With many classes most cells are empty, and are left out.
        cell = truth * classes + predicted
        self.order = np.argsort(cell, kind="stable")
        self.cells, self.first = np.unique(cell[self.order], return_index=True)
        # Of two classes the second is the positive one, as in every benchmark suite; of more, each against the rest.
        positive_classes = [1] if classes == 2 else range(classes)
        self.curves = [_RankedSamples(truth == positive, scores[:, positive]) for positive in positive_classes]

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Return every score [R] under the weights [R, n]."""
        table = np.zeros((len(weights), self.classes**2))
        table[:, self.cells] = np.add.reduceat(np.take(weights, self.order, axis=1), self.first, axis=1)
        stack = table.reshape(-1, self.classes, self.classes)
        areas = np.stack([curve(weights) for curve in self.curves])
        defined = np.isfinite(areas)
        # A class without positive or negative samples has no curve. If no class has one, the area is that of chance: one half.
        mean = np.where(defined, areas, 0).sum(0) / np.maximum(defined.sum(0), 1)
        auroc, auprc = np.where(defined.any(0), mean, 0.5).T
        return {**{name: score(stack) for name, score in CONFUSION_SCORES.items()}, "auroc": auroc, "auprc": auprc}


class _RankedSamples:
    """One class against the rest: samples by descending score, ties as one group.

    Only groups with a positive sample count in either area, so that each of many classes costs little.
    """

    def __init__(self, positive: NDArray[np.bool_], score: Scores) -> None:
        self.order = np.argsort(-score, kind="stable")
        ordered = score[self.order]
        starts_group = np.concatenate([[True], ordered[1:] != ordered[:-1]])
        self.positives = np.flatnonzero(positive[self.order])
        groups, self.first = np.unique(starts_group.cumsum()[self.positives] - 1, return_index=True)
        edges = np.append(np.flatnonzero(starts_group), len(starts_group))
        self.start, self.end = edges[groups], edges[groups + 1]

    def __call__(self, weights: Floats) -> Floats:
        """Return the areas under the ROC and the precision-recall curve [R, 2]; NaN without positives or negatives.

        The first is the probability that a positive ranks before a negative, ties halved (Hanley and McNeil 1982); the second
        is average precision, the sum of precision times the gain in recall.
        """
        if not len(self.positives):
            return np.full((len(weights), 2), np.nan)
        above = np.zeros((len(weights), len(self.order) + 1))  # the weight before each rank
        ordered = np.take(weights, self.order, axis=1)
        ordered.cumsum(1, out=above[:, 1:])
        gained = np.add.reduceat(np.take(ordered, self.positives, axis=1), self.first, axis=1)
        start, end = np.take(above, self.start, axis=1), np.take(above, self.end, axis=1)
        # Cumulated over groups of tied scores, because samples within a tie have no order.
        so_far = gained.cumsum(1)
        positives, negatives = so_far[:, -1], above[:, -1] - so_far[:, -1]
        passed = (start - (so_far - gained) + end - so_far) / 2  # negatives before the group, and half of those in it
        precision = np.divide(so_far, end, out=np.zeros_like(so_far), where=so_far > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            auroc = (gained * (negatives[:, None] - passed)).sum(1) / (positives * negatives)
            auprc = (gained * precision).sum(1) / positives
        # A resample may have lost a class; its area is undefined, not 0.
        defined = ((positives > 0) & (negatives > 0))[:, None]
        areas: Floats = np.where(defined, np.stack([auroc, auprc], axis=1), np.nan)
        return areas

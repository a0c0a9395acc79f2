"""How frozen features are scored: k nearest neighbours and a linear probe.

A protocol fits on the train part and chooses its one setting on the validation part, which never trains anything; it
returns what predicts, so test features are made after the choice and used once.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from findna_kit.evaluation.scores import accuracy, confusion, mcc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from findna_kit.evaluation.scores import Floats, Labels

NEIGHBOURS = (50, 20, 10, 5, 1)
TEMPERATURE = 0.07
INVERSE_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)
MAX_ITERATIONS = 2000
_CELLS = 2**22
"""Similarities held at once: 32 MiB."""


@dataclass(frozen=True)
class Features:
    """Features [n, D] with labels [n] of the two parts that may be looked at before the test."""

    train: NDArray[Any]
    train_labels: Labels
    validation: NDArray[Any]
    validation_labels: Labels
    classes: int


@dataclass(frozen=True)
class Fitted:
    """`predict`: features [n, D] -> labels [n]. `chosen` on validation, ready for JSON; `score`: what that choice got there."""

    predict: Callable[[NDArray[Any]], Labels]
    chosen: dict[str, Any]
    score: float


def choice_score(truth: Labels, predicted: Labels, classes: int) -> tuple[str, float]:
    """What settings are chosen by: MCC, or accuracy where the truth has one class and MCC is undefined."""
    name, score = ("mcc", mcc) if np.unique(truth).size > 1 else ("accuracy", accuracy)
    return name, float(score(confusion(truth, predicted, classes)))


def knn(features: Features) -> Fitted:
    """Cosine neighbours weighted by exp(similarity / 0.07) (Wu et al. 2018; DINO, Caron et al. 2021); chooses their number.

    Of equal scores the larger number is taken.
    """
    bank, labels, classes = _unit(features.train), features.train_labels, features.classes
    numbers = [number for number in NEIGHBOURS if number <= len(bank)]

    def vote(similarities: Floats, indices: Labels, number: int) -> Labels:
        cells = np.arange(len(indices))[:, None] * classes + labels[indices[:, :number]]
        weights = np.exp(similarities[:, :number] / TEMPERATURE)
        votes = np.bincount(cells.ravel(), weights.ravel(), minlength=len(indices) * classes)
        winners: Labels = votes.reshape(-1, classes).argmax(1)
        return winners

    nearest = _neighbours(_unit(features.validation), bank, numbers[0])
    scores = {n: choice_score(features.validation_labels, vote(*nearest, n), classes) for n in numbers}
    number = max(numbers, key=lambda n: scores[n][1])
    return Fitted(
        predict=lambda test: vote(*_neighbours(_unit(test), bank, number), number),
        chosen={"neighbours": number, **_reached(*scores[number])},
        score=scores[number][1],
    )


def probe(features: Features) -> Fitted:
    """Multinomial logistic regression on standardised features; chooses the inverse L2 penalty C, the smaller of equals."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler(copy=False)
    train = scaler.fit_transform(features.train.astype(np.float64))
    validation = scaler.transform(features.validation.astype(np.float64))
    best: Fitted | None = None
    for penalty, model, converged in _path(train, features.train_labels):
        metric, score = choice_score(features.validation_labels, _labels(model, validation), features.classes)
        if best is None or score > best.score:
            kept = copy.deepcopy(model)
            best = Fitted(
                predict=lambda test, kept=kept: _labels(kept, scaler.transform(test.astype(np.float64))),  # type: ignore[misc]
                chosen={"C": penalty, **_reached(metric, score), "converged": converged},
                score=score,
            )
    assert best is not None  # the grid is not empty
    return best


PROTOCOLS: Mapping[str, Callable[[Features], Fitted]] = {"knn": knn, "probe": probe}


def _path(train: Floats, labels: Labels) -> Iterable[tuple[float, Any, bool]]:
    """The model at each penalty, from strong to weak, each fit starting at the last; one object, moved on."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=MAX_ITERATIONS, warm_start=True)
    for penalty in INVERSE_PENALTIES:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            model.set_params(C=penalty).fit(train, labels)
        for warning in caught:
            # A fit that did not converge is said in the result, beside the score; any other warning goes where it was going.
            if not issubclass(warning.category, ConvergenceWarning):
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        yield penalty, model, not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)


def _labels(model: Any, features: Floats) -> Labels:
    return np.asarray(model.predict(features), dtype=np.int64)


def _reached(metric: str, score: float) -> dict[str, float]:
    return {f"validation_{metric}": score}


def _unit(features: NDArray[Any]) -> Floats:
    # In double precision: embeddings of an untrained encoder differ in the fourth digit of their cosine.
    rows = features.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return unit


def _neighbours(queries: Floats, bank: Floats, number: int) -> tuple[Floats, Labels]:
    """Similarities and indices [n, number] of the nearest rows of the bank, nearest first, of equals the earlier."""
    similarities = np.empty((len(queries), number))
    indices = np.empty((len(queries), number), dtype=np.int64)
    rows = max(1, _CELLS // len(bank))
    for start in range(0, len(queries), rows):
        part = slice(start, start + rows)
        cosines = queries[part] @ bank.T
        nearest = np.argpartition(cosines, -number, axis=1)[:, -number:]
        values = np.take_along_axis(cosines, nearest, axis=1)
        order = np.lexsort((nearest, -values), axis=-1)
        similarities[part] = np.take_along_axis(values, order, axis=1)
        indices[part] = np.take_along_axis(nearest, order, axis=1)
    return similarities, indices

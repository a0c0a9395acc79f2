"""Protocols on frozen features: k nearest neighbours, a linear probe, and a few-shot probe.

A protocol fits on the training split and chooses its one hyperparameter on the validation split, which trains nothing. It
returns a fitted classifier, so that test features are made after the choice, and used once.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from findna_kit import rng
from findna_kit.evaluation.scores import accuracy, confusion, mcc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from findna_kit.evaluation.scores import Floats, Labels, Scores

NEIGHBOURS = (50, 20, 10, 5, 1)
TEMPERATURE = 0.07
INVERSE_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)
MAX_ITERATIONS = 2000
SHOT_PENALTY = 1.0
"""Inverse penalty of the few-shot probe. Nothing is chosen there: a validation split of thousands would not be few shots."""
_MAX_SIMILARITIES = 2**22
"""Similarities held at once: 32 MiB."""


@dataclass(frozen=True)
class Features:
    """Features [n, D] and labels [n] of the training and validation splits. Those of the probes may be sparse."""

    train: Any
    train_labels: Labels
    validation: Any
    validation_labels: Labels
    classes: int


@dataclass(frozen=True)
class Fitted:
    """A fitted classifier.

    scores: maps features [n, D] to the probabilities of the classes [n, K]; the largest is the label. chosen: the
    hyperparameter chosen on the validation split, ready for JSON. score: its score there.
    """

    scores: Callable[[Any], Scores]
    chosen: dict[str, Any]
    score: float


@dataclass(frozen=True)
class FittedProbe(Fitted):
    """A fitted linear probe."""

    scores: LinearClassifier


def choice_score(truth: Labels, predicted: Labels, classes: int) -> tuple[str, float]:
    """Return the name and value of the score that hyperparameters are chosen by.

    It is MCC, or accuracy if the truth has one class, for which MCC is undefined.
    """
    name, score = ("mcc", mcc) if np.unique(truth).size > 1 else ("accuracy", accuracy)
    return name, float(score(confusion(truth, predicted, classes)))


def knn(features: Features) -> Fitted:
    """Fit a nearest-neighbour classifier; its number of neighbours is chosen, the larger of equals.

    Neighbours by cosine are weighted by exp(similarity / 0.07) (Wu et al. 2018; DINO, Caron et al. 2021). A class's
    probability is its share of the weights. Features are standardised by the training split first: a common mean, or a
    dimension of large variance, would otherwise make all cosines alike.
    """
    scaler, labels, classes = _scaler(features.train), features.train_labels, features.classes
    # Unit length makes a dot product a cosine, so that all similarities are one matrix product.
    bank = _unit(scaler.fit_transform(features.train.astype(np.float64)))

    def unit(rows: NDArray[Any]) -> Floats:
        return _unit(scaler.transform(rows.astype(np.float64)))

    # A small task may have fewer training samples than the largest number of neighbours.
    numbers = [number for number in NEIGHBOURS if number <= len(bank)]

    def vote(similarities: Floats, indices: Labels, number: int) -> Floats:
        cells = np.arange(len(indices))[:, None] * classes + labels[indices[:, :number]]
        # Subtracting 1, the largest cosine, changes no share and avoids overflow.
        weights = np.exp((similarities[:, :number] - 1) / TEMPERATURE)
        votes = np.bincount(cells.ravel(), weights.ravel(), minlength=len(indices) * classes).reshape(-1, classes)
        return np.asarray(votes / votes.sum(1, keepdims=True))

    # The largest number of neighbours is searched once; smaller numbers use its first columns.
    nearest = _neighbours(unit(features.validation), bank, numbers[0])
    scores = {n: choice_score(features.validation_labels, vote(*nearest, n).argmax(1), classes) for n in numbers}
    # `max` returns the first of equals, and NEIGHBOURS is in descending order.
    number = max(numbers, key=lambda n: scores[n][1])
    return Fitted(
        scores=lambda test: vote(*_neighbours(unit(test), bank, number), number).astype(np.float32),
        chosen={"neighbours": number, **_validation_score(*scores[number])},
        score=scores[number][1],
    )


def probe(features: Features, penalties: Sequence[float] = INVERSE_PENALTIES) -> FittedProbe:
    """Fit a multinomial logistic regression on standardised features; C is chosen, the smaller of equals.

    C is the inverse L2 penalty, one of the ascending `penalties`. Sparse features are divided by their deviation, and not
    centred: the intercept, which has no penalty, makes up for it.
    """
    scaler = _scaler(features.train)
    train = scaler.fit_transform(features.train.astype(np.float64))
    # The scaler is fitted on the training split alone; the other splits must not influence it.
    validation = scaler.transform(features.validation.astype(np.float64))
    best: FittedProbe | None = None
    for penalty, model, converged in _regularisation_path(train, features.train_labels, penalties):
        metric, score = choice_score(features.validation_labels, _labels(model, validation), features.classes)
        # Of equal scores the stronger penalty wins, because the path begins with it.
        if best is None or score > best.score:
            best = FittedProbe(
                scores=LinearClassifier(copy.deepcopy(model), scaler, features.classes),
                chosen={"C": penalty, **_validation_score(metric, score), "converged": converged},
                score=score,
            )
    assert best is not None  # the grid is not empty
    return best


def few_shot(features: Features, shots: int, *, seed: int) -> Fitted:
    """Fit a logistic regression on `shots` training samples of each class, drawn by the seed; nothing is chosen.

    Features are standardised by the whole training split, which needs no labels. A class with fewer samples contributes all.
    """
    # As in `_scaler`.
    from sklearn.linear_model import LogisticRegression

    scaler = _scaler(features.train)
    train = scaler.fit_transform(features.train.astype(np.float64))
    rows = draw_shots(features.train_labels, shots, seed)
    # The penalty is fixed: with one sample per class there is nothing to choose it on.
    model = LogisticRegression(C=SHOT_PENALTY, max_iter=MAX_ITERATIONS).fit(train[rows], features.train_labels[rows])
    probabilities = LinearClassifier(model, scaler, features.classes)
    predicted = probabilities(features.validation).argmax(1)
    metric, score = choice_score(features.validation_labels, predicted, features.classes)
    return Fitted(probabilities, {"rows": len(rows), "C": SHOT_PENALTY, **_validation_score(metric, score)}, score)


def draw_shots(labels: Labels, shots: int, seed: int) -> Labels:
    """Return ascending indices of `shots` samples of each class, or of all that it has."""
    generator = np.random.default_rng(rng.key(seed, "shots", shots) % 2**64)
    # A random order within each class; the first `shots` of each are taken.
    order = np.lexsort((generator.random(len(labels)), labels))
    rank = np.arange(len(labels)) - np.searchsorted(labels[order], labels[order], "left")
    return np.sort(order[rank < shots])


class LinearClassifier:
    """A logistic regression on scaled features. Called, it returns probabilities [n, K]."""

    def __init__(self, model: Any, scaler: Any, classes: int) -> None:
        self.model, self.scaler, self.classes = model, scaler, classes

    @property
    def scaling(self) -> tuple[Floats, Floats]:
        """Return the mean and the deviation [D] that dense features are standardised by."""
        return self.scaler.mean_, self.scaler.scale_

    def logits(self, absent: float) -> tuple[Floats, Floats]:
        """Return the weights [K, D] and biases [K] of standardised features; absent: the bias of a class without samples."""
        weight, bias = self.model.coef_, self.model.intercept_
        # Of two classes scikit-learn keeps one logit, which is the difference of two.
        if len(weight) == 1:
            weight, bias = np.concatenate([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])
        weights, biases = np.zeros((self.classes, weight.shape[1])), np.full(self.classes, absent)
        weights[self.model.classes_], biases[self.model.classes_] = weight, bias
        return weights, biases

    def __call__(self, features: Any) -> Scores:
        """Return the probabilities of features [n, D]."""
        probabilities = np.zeros((features.shape[0], self.classes), dtype=np.float32)
        # A class without training samples keeps probability 0.
        probabilities[:, self.model.classes_] = self.model.predict_proba(self.scaler.transform(features.astype(np.float64)))
        return probabilities


def _scaler(train: Any) -> Any:
    """Return an unfitted scaler to mean 0 and variance 1; of sparse features, which centring would fill, to variance 1."""
    # scikit-learn takes a second to import, and most commands do not need it.
    from sklearn.preprocessing import StandardScaler

    return StandardScaler(copy=False, with_mean=isinstance(train, np.ndarray))


def _regularisation_path(train: Any, labels: Labels, penalties: Sequence[float]) -> Iterable[tuple[float, Any, bool]]:
    """Yield the penalty, the model and whether it converged, from strong to weak penalties.

    Each fit starts from the last. The model is one object, refitted in place: copy it to keep it.
    """
    # As in `_scaler`.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    # Warm starts make the whole path about as cheap as one fit from zero.
    model = LogisticRegression(max_iter=MAX_ITERATIONS, warm_start=True)
    for penalty in penalties:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            model.set_params(C=penalty).fit(train, labels)
        for warning in caught:
            # The result records a fit that did not converge; other warnings are passed on.
            if not issubclass(warning.category, ConvergenceWarning):
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        yield penalty, model, not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)


def _labels(model: Any, features: Any) -> Labels:
    return np.asarray(model.predict(features), dtype=np.int64)


def _validation_score(metric: str, score: float) -> dict[str, float]:
    return {f"validation_{metric}": score}


def _unit(rows: Floats) -> Floats:
    """Return the rows scaled to unit length [n, D]; zero vectors stay zero."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return unit


def _neighbours(queries: Floats, bank: Floats, number: int) -> tuple[Floats, Labels]:
    """Return similarities and indices [n, number] of the nearest rows of the bank, nearest first; ties by index."""
    similarities = np.empty((len(queries), number))
    indices = np.empty((len(queries), number), dtype=np.int64)
    # Queries are processed in chunks, so that the matrix of similarities stays bounded.
    rows = max(1, _MAX_SIMILARITIES // len(bank))
    for start in range(0, len(queries), rows):
        chunk = slice(start, start + rows)
        cosines = queries[chunk] @ bank.T
        # A partial sort is linear in the size of the bank; only the selected neighbours are then ordered.
        nearest = np.argpartition(cosines, -number, axis=1)[:, -number:]
        values = np.take_along_axis(cosines, nearest, axis=1)
        # If several rows tie for the last place, as those of a collapsed encoder do, argpartition returns any of them. Ties are
        # broken by index instead, so that the number of neighbours is chosen on the same neighbours that it is used with.
        tied = np.flatnonzero((cosines >= values.min(1, keepdims=True)).sum(1) > number)
        nearest[tied] = np.argsort(-cosines[tied], axis=1, kind="stable")[:, :number]
        values[tied] = np.take_along_axis(cosines[tied], nearest[tied], axis=1)
        order = np.lexsort((nearest, -values), axis=-1)
        similarities[chunk] = np.take_along_axis(values, order, axis=1)
        indices[chunk] = np.take_along_axis(nearest, order, axis=1)
    return similarities, indices

"""Percentile bootstrap of scores over the test samples and over seeds.

The same resamples serve every prediction. Differences are therefore paired: what is hard for all of them cancels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from findna_kit.evaluation.scores import SCORES, WeightedScores
from findna_kit.records.evaluation_json import ScoreDifference, ScoreInterval

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from findna_kit.evaluation.scores import Floats, Labels, Scores

RESAMPLES = 2000
LEVEL = 0.95
METHOD = "percentile bootstrap over the test rows, and over the seeds where there are several"
_MAX_WEIGHTS = 2**20
"""Sample weights held at once, which bounds the memory."""


@dataclass(frozen=True)
class BootstrapScores:
    """Scores by name: the value for each of S seeds [S], and the mean over seeds in each resample [R]."""

    values: Mapping[str, Floats]
    draws: Mapping[str, Floats]

    def interval(self, name: str) -> ScoreInterval:
        """Return the mean over seeds with its interval; `deviation` (n - 1) only if there are several seeds."""
        values = self.values[name]
        low, high = _ends(self.draws[name])
        mean = float(values.mean())
        if len(values) == 1:  # without the key: a deviation of one seed is not known
            return ScoreInterval(value=mean, low=low, high=high)
        return ScoreInterval(value=mean, low=low, high=high, deviation=float(values.std(ddof=1)))

    # Both contenders were scored on the same resamples, so that the difference is paired.
    def minus(self, other: BootstrapScores, name: str) -> ScoreDifference:
        """Return the paired difference of two means with its interval and verdict."""
        value = float(self.values[name].mean() - other.values[name].mean())
        low, high = _ends(self.draws[name] - other.draws[name])
        return ScoreDifference(value=value, low=low, high=high, verdict=verdict(low, high))


def bootstrap_scores(
    truth: Labels, predictions: Mapping[str, Sequence[Scores]], classes: int, *, seed: int
) -> dict[str, BootstrapScores]:  # fmt: skip
    """Return each prediction's scores. predictions: by name, for each seed the scores of the classes [n, K]."""
    # Weight 1 for every sample gives the score itself; a resample is another vector of weights.
    whole = np.ones((1, len(truth)))
    weighted = {
        name: [WeightedScores(truth, scores, classes) for scores in by_seed] for name, by_seed in predictions.items()
    }  # fmt: skip
    values = {name: [scores(whole) for scores in by_seed] for name, by_seed in weighted.items()}
    draws: dict[str, list[list[dict[str, Floats]]]] = {name: [] for name in weighted}
    # Resamples are the outer loop, so that all contenders see the same ones without storing them.
    for weights in _resamples(len(truth), seed):
        for name, by_seed in weighted.items():
            draws[name].append([scores(weights) for scores in by_seed])
    return {
        name: BootstrapScores(
            {score: np.array([float(by_score[score][0]) for by_score in values[name]]) for score in SCORES},
            {
                score: _mean_over_seeds([[by_score[score] for by_score in chunk] for chunk in draws[name]], seed)
                for score in SCORES
            },
        )
        for name in weighted
    }


def verdict(low: float, high: float) -> str:
    """Return `above` or `below` if the interval of a difference excludes zero, else `not distinguishable`."""
    if low > 0:
        return "above"
    return "below" if high < 0 else "not distinguishable"


def _resamples(samples: int, seed: int) -> Iterator[Floats]:
    """Yield chunks of resamples as weights [R, n]: how often each sample was drawn."""
    generator = np.random.default_rng(seed % 2**64)
    # Bounds the matrix of weights in memory.
    at_once = max(1, _MAX_WEIGHTS // samples)
    for start in range(0, RESAMPLES, at_once):
        count = min(at_once, RESAMPLES - start)
        # Adding a multiple of `samples` per resample lets one bincount count all of them.
        drawn = generator.integers(samples, size=(count, samples)) + np.arange(count)[:, None] * samples
        yield np.bincount(drawn.ravel(), minlength=count * samples).reshape(count, samples).astype(np.float64)


def _mean_over_seeds(chunks: Sequence[Sequence[Floats]], seed: int) -> Floats:
    """Return the mean [R] over S seeds drawn with replacement. Predictions with equal S draw the same seeds: they pair."""
    table = np.concatenate([np.stack(chunk, axis=1) for chunk in chunks])
    seeds = table.shape[1]
    if seeds == 1:
        return np.asarray(table[:, 0])
    # Seeds are resampled too, so that the interval includes the variance between them.
    chosen = np.random.default_rng([seed % 2**64, seeds]).integers(seeds, size=table.shape)
    return np.asarray(np.take_along_axis(table, chosen, axis=1).mean(1))


def _ends(draws: Floats) -> tuple[float, float]:
    """Return the ends of the percentile interval (Efron and Tibshirani 1993, ch. 13)."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)

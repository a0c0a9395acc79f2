"""What a study's scores say: paired differences over seeds, their intervals, permutation tests, and a family's corrections.

The seed is the unit. Runs of one seed share initial weights, windows and masks, so differences are taken within a seed; the
tasks of one run are no repeats of it, so they are averaged, and in a permutation they turn together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Verdict = Literal["better", "worse", "no difference shown", "not enough seeds to say"]
Correction = Literal["holm", "benjamini_hochberg"]
Key = TypeVar("Key")
FEW = 6
"""Seeds below which no permutation test can reach 0.05: 2 / 2^5 is 0.0625."""
_ENUMERATED = 14
_DRAWN = 20_000


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its interval; ends are None of a single seed."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Effect:
    """A level's paired difference to the reference, level minus reference.

    overall: the mean over tasks. by_task: each task alone. p: two-sided, of the permutation test; adjusted: for the family.
    size: Hedges' g of the paired differences (mean over their deviation, corrected for few seeds); None of fewer than three,
        and where they do not vary.
    """

    overall: Interval
    by_task: Mapping[str, Interval]
    seeds: int
    p: float
    adjusted: float
    size: float | None
    verdict: Verdict


def paired_interval(differences: NDArray[np.float64], level: float = 0.95) -> Interval:
    """Student's interval of a mean of paired differences [seeds] (Student 1908): a percentile bootstrap of 5 covers 84 %."""
    value, count = float(differences.mean()), len(differences)
    if count < 2:
        return Interval(value, None, None)
    from scipy.special import stdtrit  # imports that a command which only lists does not need

    reach = float(stdtrit(count - 1, (1 + level) / 2) * differences.std(ddof=1) / math.sqrt(count))
    return Interval(value, value - reach, value + reach)


def smallest_p(seeds: int) -> float:
    """The smallest p that the permutation test of so many seeds can give: all signs as they are, or all turned."""
    return min(1.0, 2.0 * 0.5**seeds)


def permutation_p(differences: NDArray[np.float64], *, seed: int = 0) -> float:
    """Two-sided p of the mean of differences [seeds, tasks] under turned signs (Fisher 1935), a seed's tasks turning together.

    Every pattern of signs up to 14 seeds; beyond, 20,000 of them drawn by `seed`, the observed one counted among them.
    """
    means = differences.mean(1)
    signs = _signs(len(means)) if len(means) <= _ENUMERATED else _drawn_signs(len(means), seed)
    observed = abs(means.mean())
    # The observed pattern is among them, so equal sums must count as equal: to rounding.
    reached = np.abs(signs @ means) / len(means) >= observed * (1 - 1e-12) - 1e-300
    return float(reached.mean())


@cache
def _signs(count: int) -> NDArray[np.float64]:
    return np.array(list(product((1.0, -1.0), repeat=count)))


@cache
def _drawn_signs(count: int, seed: int) -> NDArray[np.float64]:
    drawn = np.random.default_rng(seed).choice((1.0, -1.0), (_DRAWN, count))
    drawn[0] = 1.0
    return drawn


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p (Holm 1979): the chance of any false finding in the family stays below the level."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = largest
    return [float(value) for value in adjusted]


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Adjusted p (Benjamini and Hochberg 1995): the expected share of false findings stays below the level."""
    order = np.argsort(p, kind="stable")[::-1]
    adjusted = np.empty(len(p))
    smallest = 1.0
    for place, index in enumerate(order):
        smallest = min(smallest, p[index] * len(p) / (len(p) - place))
        adjusted[index] = smallest
    return [float(value) for value in adjusted]


def hedges_g(differences: NDArray[np.float64]) -> float | None:
    """Mean over deviation of paired differences [seeds], corrected for few of them (Hedges 1981, equation 6e)."""
    count = len(differences)
    deviation = float(differences.std(ddof=1)) if count > 2 else 0.0  # the correction of two is to nothing
    if deviation <= 1e-12 * max(1.0, float(np.abs(differences).max())):
        return None
    return float(differences.mean()) / deviation * (1 - 3 / (4 * (count - 1) - 1))


CORRECTIONS = {"holm": holm, "benjamini_hochberg": benjamini_hochberg}


def effects(
    reference: NDArray[np.float64],
    levels: Mapping[str, NDArray[np.float64]],
    tasks: Sequence[str],
    *,
    correction: Correction = "holm",
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Effect]:
    """Every level of a family against its reference; scores [seeds, tasks], rows of one seed in one place, higher is better.

    Raises ValueError for scores of other shapes, and for one that is not finite.
    """
    for name, scores in {"reference": reference, **levels}.items():
        if scores.shape != reference.shape or reference.shape[1:] != (len(tasks),):
            raise ValueError(f"{name}: scores {scores.shape}, [seeds, {len(tasks)} tasks] as the reference are needed")
        if not np.isfinite(scores).all():
            raise ValueError(f"{name}: a score is not finite")
    return _family({name: scores - reference for name, scores in levels.items()}, tasks, correction, level, seed)


def main_effects(
    scores: NDArray[np.float64],
    factors: Mapping[str, Sequence[str]],
    tasks: Sequence[str],
    *,
    correction: Correction = "holm",
    level: float = 0.95,
    seed: int = 0,
) -> dict[tuple[str, str], Effect]:
    """By factor and level: each level but a factor's first, minus the first, within a seed averaged over all other factors.

    scores: finite, [levels of the first factor, of the second, ..., seeds, tasks], every combination of a factorial design. All
    of them are one family. Whether a level's effect depends on the other factors' levels is not estimated.
    """
    differences: dict[tuple[str, str], NDArray[np.float64]] = {}
    for axis, (factor, levels) in enumerate(factors.items()):
        others = tuple(other for other in range(len(factors)) if other != axis)
        means = scores.mean(others)
        differences |= {(factor, name): means[place] - means[0] for place, name in enumerate(levels) if place}
    return _family(differences, tasks, correction, level, seed)


def _family(
    differences: Mapping[Key, NDArray[np.float64]], tasks: Sequence[str], correction: Correction, level: float, seed: int
) -> dict[Key, Effect]:
    """What paired differences [seeds, tasks] say, their p adjusted for all of them."""
    p = [permutation_p(found, seed=seed) for found in differences.values()]
    adjusted = CORRECTIONS[correction](p)
    return {
        name: _effect(found, tasks, own, corrected, smallest_family_p(len(found), len(differences), correction), level)
        for (name, found), own, corrected in zip(differences.items(), p, adjusted, strict=True)
    }


def smallest_family_p(seeds: int, levels: int, correction: Correction) -> float:
    """The smallest adjusted p that one level alone can reach, where the others show nothing."""
    return CORRECTIONS[correction]([smallest_p(seeds), *[1.0] * (levels - 1)])[0]


def _effect(
    differences: NDArray[np.float64], tasks: Sequence[str], p: float, adjusted: float, reachable: float, level: float
) -> Effect:
    means = differences.mean(1)
    verdict: Verdict = "no difference shown"
    if adjusted <= 1 - level:  # by Benjamini-Hochberg several together reach what one alone could not
        verdict = "better" if means.mean() > 0 else "worse"
    elif reachable > 1 - level:
        verdict = "not enough seeds to say"
    by_task = {task: paired_interval(differences[:, column], level) for column, task in enumerate(tasks)}
    return Effect(paired_interval(means, level), by_task, len(means), p, adjusted, hedges_g(means), verdict)

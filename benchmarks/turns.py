"""Two or more ways to do one thing, timed in turns: what disturbs the machine disturbs them alike."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Way = Callable[[], object]


@dataclass(frozen=True)
class Spread:
    """What the rounds of one measurement gave."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure that is compared with a bar."""
        return median(self.rounds)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"median": self.median, "lowest": min(self.rounds), "highest": max(self.rounds), "rounds": list(self.rounds)}


def ratios(ours: Way, *others: Way, rounds: int, seconds: float = 0.1) -> list[Spread]:
    """How many times the time of `ours` each of the others takes, round by round: above 1 ours is faster.

    A turn repeats its way for at least `seconds`. Each way is run before, not counted; every other round goes backwards, so
    that nobody always comes after the same neighbour.
    """
    ways = (ours, *others)
    repeats = [_repeats(way, seconds) for way in ways]
    taken: list[list[float]] = [[] for _ in ways]
    for number in range(rounds):
        order = range(len(ways)) if number % 2 == 0 else reversed(range(len(ways)))
        for place in order:
            taken[place].append(_timed(ways[place], repeats[place]))
    return [Spread(tuple(other / own for own, other in zip(taken[0], times, strict=True))) for times in taken[1:]]


def _repeats(way: Way, seconds: float) -> int:
    first = _timed(way, 1)
    again = first if first > seconds else _timed(way, 1)  # the first call of anything pays for what is made once
    return max(1, math.ceil(seconds / max(again, 1e-9)))


def _timed(way: Way, repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        way()
    return (time.perf_counter() - began) / repeats

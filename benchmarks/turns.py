"""Timing of alternatives in turns, so that a disturbance of the machine affects all of them."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Timed = Callable[[], object]


@dataclass(frozen=True)
class Spread:
    """The values of one measurement, one for each round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the value that is compared with a limit."""
        return median(self.rounds)

    def plain(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {"median": self.median, "lowest": min(self.rounds), "highest": max(self.rounds), "rounds": list(self.rounds)}


def ratios(ours: Timed, *others: Timed, rounds: int, seconds: float = 0.1) -> list[Spread]:
    """Return the time of each of the others divided by that of `ours`, in each round: above 1, ours is faster.

    A turn calls its function for at least `seconds`. Every function is called once before, uncounted. Every other round goes
    in reverse order, so that no function always follows the same one.
    """
    functions = (ours, *others)
    repeats = [_repeats(function, seconds) for function in functions]
    taken: list[list[float]] = [[] for _ in functions]
    for number in range(rounds):
        order = range(len(functions)) if number % 2 == 0 else reversed(range(len(functions)))
        for index in order:
            taken[index].append(_timed(functions[index], repeats[index]))
    return [Spread(tuple(other / kit for kit, other in zip(taken[0], times, strict=True))) for times in taken[1:]]


def _repeats(function: Timed, seconds: float) -> int:
    first = _timed(function, 1)
    again = first if first > seconds else _timed(function, 1)  # the first call includes one-time costs
    return max(1, math.ceil(seconds / max(again, 1e-9)))


def _timed(function: Timed, repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - began) / repeats

"""Timing of alternative functions in turns, so that temporary load affects all of them."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Task = Callable[[], object]


@dataclass(frozen=True)
class Spread:
    """The rounds of one measurement."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure that is compared with the threshold."""
        return median(self.rounds)

    def plain(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {"median": self.median, "lowest": min(self.rounds), "highest": max(self.rounds), "rounds": list(self.rounds)}


def ratios(ours: Task, *others: Task, rounds: int, seconds: float = 0.1) -> list[Spread]:
    """Return, per round, the time of each other function divided by that of `ours`: above 1 ours is faster.

    A turn repeats its function for at least `seconds`. Each function runs once before, without being timed. Every other round
    has the reverse order, so that no function always follows the same one.
    """
    tasks = (ours, *others)
    repeats = [_repeats(task, seconds) for task in tasks]
    taken: list[list[float]] = [[] for _ in tasks]
    for number in range(rounds):
        order = range(len(tasks)) if number % 2 == 0 else reversed(range(len(tasks)))
        for index in order:
            taken[index].append(_timed(tasks[index], repeats[index]))
    return [Spread(tuple(other / own for own, other in zip(taken[0], times, strict=True))) for times in taken[1:]]


def _repeats(task: Task, seconds: float) -> int:
    first = _timed(task, 1)
    again = first if first > seconds else _timed(task, 1)  # the first call pays for one-time initialisation
    return max(1, math.ceil(seconds / max(again, 1e-9)))


def _timed(task: Task, repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        task()
    return (time.perf_counter() - began) / repeats

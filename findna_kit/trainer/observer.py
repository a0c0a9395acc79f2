"""Callbacks that receive the progress of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Reporter(Protocol):
    """A callback for metrics. It is called after every step and cannot change training."""

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Receive the metrics logged at `step`; the mapping is empty for a step that is not logged."""
        ...


@dataclass
class Observer:
    """Callbacks for the progress of a run; every one has a default that does nothing.

    log: takes one line of text. reading: takes (bases read, all bases) while a FASTA is indexed. report: takes metrics.
    """

    log: Callable[[str], None] = lambda line: None
    reading: Callable[[int, int], None] | None = None
    report: Reporter = lambda step, metrics: None

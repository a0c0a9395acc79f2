"""Progress of long work: a bar on a terminal or in a notebook; in a log, lines with the estimated time that remains (ETA)."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from findna_kit.api.bars import open_bar
from findna_kit.api.terminal import log
from findna_kit.metrics.names import training_losses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LOG_INTERVAL = 10.0
"""Seconds between two lines of a log."""


class LogClock:
    """Decides when the next line of a log is due, and estimates the time that remains."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._last_line = -math.inf
        self._start: tuple[float, int] | None = None

    def due(self, done: int) -> bool:
        """Return whether a line is due: the first one, one per `LOG_INTERVAL`, and the last one."""
        now = time.monotonic()
        # The first call may come at any step, since a run may be resumed.
        self._start = self._start or (now, done)
        # The last call always writes a line, so that a log ends with the total.
        if done < self._total and now - self._last_line < LOG_INTERVAL:
            return False
        self._last_line = now
        return True

    def eta(self, done: int) -> str:
        """Return `, ETA 0:12:30` from the mean speed since the first call; an empty string where it is not known yet."""
        if self._start is None or not self._start[1] < done < self._total:
            return ""
        # A resumed run starts at a later step, which does not count towards its speed.
        began, first = self._start
        seconds = (time.monotonic() - began) / (done - first) * (self._total - done)
        return f", ETA {timedelta(seconds=round(seconds))}"


@contextmanager
def reading_bar() -> Iterator[Callable[[int, int], None]]:
    """Yield a callback for (bases read, all bases) of a FASTA: a bar on a terminal or in a notebook, lines in a log."""
    bar = open_bar("reading the genome", "bases")
    if bar is None:
        yield log_counts("reading the genome", "bases")
        return

    def draw(done: int, total: int) -> None:
        # The first call starts the bar: a genome that is indexed already is not read, and shows none.
        bar.move(done, total)
        if done == total:
            bar.stop()  # the training bar takes the same line

    try:
        yield draw
    finally:
        bar.stop()


def log_counts(title: str, unit: str) -> Callable[[int, int], None]:
    """Return a callback for (items done, all items) that writes lines to the log."""
    clocks: list[LogClock] = []

    def write(done: int, total: int) -> None:
        if not clocks:
            clocks.append(LogClock(total))  # the total is known at the first call only
        if clocks[0].due(done):
            log(f"{title}: {done:,} of {total:,} {unit}{clocks[0].eta(done)}")

    return write


@contextmanager
def counting_bar(title: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Yield a callback for the number of items that are done: a bar on a terminal or in a notebook, lines in a log."""
    bar = open_bar(title, unit)
    if bar is None:
        write = log_counts(title, unit)
        yield lambda done: write(done, total)
        return
    try:
        bar.move(0, total)
        yield lambda done: bar.move(done, total)
    finally:
        bar.stop()


class TrainingProgress:
    """Progress of training: called after each step, it moves a bar, or writes a line to a log."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._bar = open_bar("training", "steps")
        self._clock = LogClock(steps)

    def __enter__(self) -> TrainingProgress:
        """Return itself; the bar starts with the first step, so that it does not overwrite the bar of the genome."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the bar."""
        if self._bar:
            self._bar.stop()

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Report that a step is done. `metrics` holds its metrics if the step was logged, and is empty otherwise."""
        if self._bar:
            self._bar.move(step, self.steps, f"training, loss {metrics['loss']:.4f}" if "loss" in metrics else None)
        elif "loss" in metrics and self._clock.due(step):
            log(f"step {step} of {self.steps}: {losses_text(metrics)}{throughput_text(metrics)}{self._clock.eta(step)}")


def losses_text(metrics: Mapping[str, float]) -> str:
    """Return `loss 2.0844 (masked 1.3874, distill 0.6970)`: the weighted total, then each training loss."""
    # Validation losses belong to another set of windows, and are left out of the line.
    terms = ", ".join(f"{label} {value:.4f}" for label, value in training_losses(metrics).items())
    return f"loss {metrics['loss']:.4f} ({terms})"


def throughput_text(metrics: Mapping[str, float]) -> str:
    """Return `, 12,300 bases/s`, or an empty string where the throughput was not measured."""
    return f", {metrics['bases_per_second']:,.0f} bases/s" if "bases_per_second" in metrics else ""

"""What is shown while something goes on: bars on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.progress import Progress


def table(rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout, the first row its header; never narrower than its content where stdout is no terminal."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for title in rows[0]:
        drawn.add_column(title, overflow="fold")
    for row in rows[1:]:
        drawn.add_row(*(str(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 200, markup=False, highlight=False).print(drawn)


def progress_bar(unit: str) -> Progress:
    """On stderr, with the time that remains; gone when it stops."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn(f"{{task.completed}}/{{task.total}} {unit}"),
        TimeRemainingColumn(), console=Console(stderr=True, markup=False, highlight=False), transient=True,
    )  # fmt: skip


@contextmanager
def reading_bar() -> Iterator[Callable[[int, int], None]]:
    """Inside, a FASTA's reading shows as a bar on a terminal, and as two lines in a log."""
    if sys.stderr.isatty():
        bar = progress_bar("bases")
        task = bar.add_task("reading the genome")

        def draw(done: int, everything: int) -> None:
            bar.start()
            bar.update(task, completed=done, total=everything)
            if done == everything:
                bar.stop()  # training draws its own bar in this place

        try:
            yield draw
        finally:
            bar.stop()
        return
    said: list[int] = []

    def tell(done: int, everything: int) -> None:
        if not said or done == everything:
            said.append(done)
            print(f"reading the genome: {done:,} of {everything:,} bases", file=sys.stderr, flush=True)

    yield tell


class TrainingProgress:
    """Is told of each step; draws a bar on a terminal, or a line now and then."""

    _LINES_APART = 10.0

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._bar = progress_bar("steps") if sys.stderr.isatty() else None
        self._task = self._bar.add_task("training", total=steps) if self._bar else None
        self._spoke = 0.0

    def __enter__(self) -> TrainingProgress:
        """Draws nothing before the first step."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stops drawing."""
        if self._bar:
            self._bar.stop()

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """A step is done; its metrics where it was logged."""
        if self._bar:
            self._bar.start()
        if self._bar and self._task is not None:
            loss = f"training, loss {metrics['loss']:.4f}" if "loss" in metrics else None
            self._bar.update(self._task, completed=step, description=loss)
        elif "loss" in metrics and (step == self.steps or time.monotonic() - self._spoke > self._LINES_APART):
            self._spoke = time.monotonic()
            losses = ", ".join(
                f"{name.removesuffix('/loss')} {value:.4f}"
                for name, value in metrics.items()
                if name.endswith("/loss") and not name.startswith("held_out")
            )
            speed = f"{metrics['bases_per_second'] / 1e3:,.0f} kb/s" if "bases_per_second" in metrics else ""
            print(f"step {step} of {self.steps}: loss {metrics['loss']:.4f} ({losses}) {speed}", file=sys.stderr, flush=True)

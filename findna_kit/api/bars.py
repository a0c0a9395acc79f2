"""Progress bars: of rich on a terminal, of HTML below a notebook's cell. A log has none."""

from __future__ import annotations

import sys
import time
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

from findna_kit.api.terminal import in_notebook

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_REDRAW_SECONDS = 0.2
"""Shortest time between two drawings in a notebook, which keeps every drawing in its messages."""


class ProgressBar(Protocol):
    """A bar that is first drawn when it is first moved."""

    def move(self, done: int, total: int, title: str | None = None) -> None:
        """Show that `done` of `total` items are done; title: None keeps the last one."""
        ...

    def stop(self) -> None:
        """Erase the bar."""
        ...


def open_bar(title: str, unit: str) -> ProgressBar | None:
    """Return the bar that suits this process: of a notebook or a terminal; None where output goes to a log."""
    if in_notebook():
        return NotebookBar(title, unit)
    return TerminalBar(title, unit) if sys.stderr.isatty() else None


class TerminalBar:
    """A bar on stderr with the time that remains; it is erased when it stops."""

    def __init__(self, title: str, unit: str) -> None:
        # Here and not above: reading a run's scores needs no bar.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress: Progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn(f"{{task.completed}}/{{task.total}} {unit}"),
            TimeRemainingColumn(), console=Console(stderr=True, markup=False, highlight=False), transient=True,
        )  # fmt: skip
        self._task: TaskID = self._progress.add_task(title)

    def move(self, done: int, total: int, title: str | None = None) -> None:
        """Start the bar if this is the first call, and move it."""
        self._progress.start()
        self._progress.update(self._task, completed=done, total=total, description=title)

    def stop(self) -> None:
        """Erase the bar."""
        self._progress.stop()


class NotebookBar:
    """A bar of HTML below the cell, with the time that remains; it needs no widgets, and is erased when it stops."""

    def __init__(self, title: str, unit: str) -> None:
        self._title, self._unit = title, unit
        self._handle: Any = None
        self._start = (0.0, 0)
        self._drawn = 0.0

    def move(self, done: int, total: int, title: str | None = None) -> None:
        """Draw the bar, at most a few times a second."""
        self._title, now = title or self._title, time.monotonic()
        if self._handle is None:
            from IPython.display import HTML, display  # present in every kernel, and no dependency of the kit

            self._start = (now, done)
            self._handle = display(HTML(self._html(done, total, now)), display_id=True)
        elif done == total or now - self._drawn >= _REDRAW_SECONDS:
            from IPython.display import HTML

            self._handle.update(HTML(self._html(done, total, now)))
        else:
            return
        self._drawn = now

    def stop(self) -> None:
        """Erase the bar."""
        if self._handle is not None:
            from IPython.display import HTML

            self._handle.update(HTML(""))
            self._handle = None

    def _html(self, done: int, total: int, now: float) -> str:
        began, first = self._start
        # A resumed run starts at a later step, which does not count towards its speed.
        left = f", {(now - began) / (done - first) * (total - done):,.0f} s left" if done > first else ""
        bar = f"<progress value='{done}' max='{total}' style='width: 16em; vertical-align: middle'></progress>"
        return f"{escape(self._title)} {bar} {done:,}/{total:,} {escape(self._unit)}{left}"

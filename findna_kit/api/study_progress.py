"""Progress of a study: the states of its cells, redrawn on a terminal and written as lines to a log."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from findna_kit.api.terminal import log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import ConsoleOptions, RenderResult

_ENDED = ("failed", "finished")
_TAIL = 12
"""Characters at the end of a cell's name, which hold its seed, that stay when the name is shortened."""


class StudyProgress:
    """Called with the states of all cells whenever one may have changed.

    A terminal shows how many cells are in each state and, as far as its height allows, the cells that run or have ended. A log
    gets a line for each change.
    """

    def __init__(self) -> None:
        self._live = Live(console=Console(stderr=True), transient=True) if sys.stderr.isatty() else None
        self._previous: Mapping[str, str] = {}
        self._ended: list[str] = []

    def __enter__(self) -> StudyProgress:
        """Start drawing."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing."""
        if self._live is not None:
            self._live.stop()

    def __call__(self, states: Mapping[str, str]) -> None:
        """Show the states of all cells."""
        if self._live is None:
            for cell, state in states.items():
                if self._previous.get(cell, "missing") != state:
                    log(f"{cell}: {state}")
        else:
            self._update_ended(states)
            self._live.update(_Board(states, self._ended))
        self._previous = dict(states)

    def _update_ended(self, states: Mapping[str, str]) -> None:
        """Put the cells that have ended since the last call first."""
        ended = [
            cell for state in _ENDED for cell, now in states.items() if now == state and self._previous.get(cell) != now
        ]  # fmt: skip
        # A failed cell that --retry runs again leaves the list.
        self._ended = [*ended, *(cell for cell in self._ended if cell not in ended and states.get(cell) in _ENDED)]


@dataclass(frozen=True)
class _Board:
    """`board` at the size that the terminal has when it is drawn."""

    states: Mapping[str, str]
    ended: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # Measured at each drawing: the user may resize the terminal.
        lines = board(self.states, self.ended, *console.size)
        yield Text("\n".join(lines), no_wrap=True, overflow="ellipsis")


def board(states: Mapping[str, str], ended: Sequence[str], width: int, height: int) -> list[str]:
    """Return a line with the number of cells in each state, then a line for each cell, as far as they fit.

    Running cells come first, then those that have ended, latest first. Waiting cells are counted but not listed.
    """
    running = [cell for cell, state in states.items() if state == "running"]
    # Running cells first: they are what a user waits for.
    listed = [*running, *ended][: max(0, height - 2)]  # one line for the counts, one for the cursor
    available = width - 2 - max(map(len, states.values()), default=0)
    names = [_shorten(cell, available) for cell in listed]
    column = max(map(len, names), default=0)
    rows = [f"{name:{column}}  {states[cell]}" for name, cell in zip(names, listed, strict=True)]
    return [f"{len(states)} cells: {counts_text(states)}", *rows]


def _shorten(cell: str, width: int) -> str:
    """Cut the middle out of a name: it begins with the condition and ends with the seed."""
    if len(cell) <= width:
        return cell
    # The end of a cell's name holds its seed, the beginning its condition; the middle is cut.
    tail = min(_TAIL, width // 2)
    return f"{cell[: width - 1 - tail]}…{cell[len(cell) - tail :]}"


def counts_text(states: Mapping[str, str]) -> str:
    """Return how many cells are in each state, such as `2 finished, 1 running`."""
    return ", ".join(f"{number} {state}" for state, number in Counter(states.values()).items())

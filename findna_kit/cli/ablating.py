"""The command ablate."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from findna_kit.cli import loading
from findna_kit.cli.progress import table
from findna_kit.errors import FindnaError
from findna_kit.plugins.loading import load_plugins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import ConsoleOptions, RenderResult

    from findna_kit.study.run import Executor, Progress

UNFINISHED = 3


def ablate(
    study: str, *, out: Path | None, jobs: int, device: str, retry: bool, as_json: bool, without: Sequence[str],
    executor: str = "local", slurm: Sequence[str] = (),
) -> None:  # fmt: skip
    """Runs what is missing of a study, and prints what it says when nothing is; exit code 3 where it is not finished."""
    from findna_kit.study.executors.local import ExecutionOptions
    from findna_kit.study.results import tables
    from findna_kit.study.run import StudyObserver, ablate

    where = _executor(executor, slurm)
    components, plugins = load_plugins(without)
    with _Shown() as shown:
        progress = ablate(
            study, out, ExecutionOptions(jobs, device, tuple(without), retry), components=components, plugins=plugins,
            watcher=StudyObserver(loading.say, shown, loading.examine), executor=where,
        )  # fmt: skip
    if progress.result is None:
        _say_what_is_left(progress)
        raise typer.Exit(UNFINISHED)
    if as_json:
        print(json.dumps(progress.result, indent=1))
        return
    for number, drawn in enumerate(tables(progress.result)):
        print("\n" * (number > 0), end="")
        table(drawn)
    if "search" in progress.result:
        print(f"\nevery condition has {progress.result['search']['words']}")
    print(f"\n{progress.folder}: the study's folder; result.json, .csv, .md and .tex hold this table")


def _executor(name: str, settings: Sequence[str]) -> Executor:
    """FindnaError where it cannot be had, or does not have those settings."""
    if name == "slurm":
        from findna_kit.study.executors.slurm import SlurmExecutor
        from findna_kit.study.executors.slurm_options import read_settings

        return SlurmExecutor(read_settings(settings), loading.say)
    if settings:
        raise FindnaError("--slurm is for --executor slurm")
    from findna_kit.study.executors.local import LocalExecutor

    return LocalExecutor()


def _say_what_is_left(progress: Progress) -> None:
    for place, reason in progress.failed.items():
        loading.say(f"{place}: {reason} (the whole log is {progress.folder / place}/log.txt; --retry runs it again)")
    for place, name in progress.killed.items():
        loading.say(f"{place}: was ended by {name}; the same command goes on with it")
    loading.say(f"{progress.folder}: {counted(progress.states)}")


class _Shown:
    """The cells' states: on a terminal how many are in each, and below it as many cells as its height holds; lines in a log."""

    def __init__(self) -> None:
        self._live = Live(console=Console(stderr=True), transient=True) if sys.stderr.isatty() else None
        self._before: Mapping[str, str] = {}
        self._ended: list[str] = []

    def __enter__(self) -> _Shown:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, states: Mapping[str, str]) -> None:
        """All states, whenever one may have changed."""
        if self._live is not None:
            ended = [
                place for state in _ENDED for place, now in states.items() if now == state and self._before.get(place) != now
            ]
            self._ended = [*ended, *(place for place in self._ended if place not in ended and states.get(place) in _ENDED)]
            self._live.update(_Board(states, self._ended))
        else:
            for place, state in states.items():
                if self._before.get(place, "missing") != state:
                    loading.say(f"{place}: {state}")
        self._before = dict(states)


_ENDED = ("failed", "finished")
_TAIL = 12
"""Letters that hold a seed, of a place too long for its line."""


@dataclass(frozen=True)
class _Board:
    """`board` as large as the terminal is when it is drawn."""

    states: Mapping[str, str]
    ended: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = board(self.states, self.ended, *console.size)
        yield Text("\n".join(lines), no_wrap=True, overflow="ellipsis")


def board(states: Mapping[str, str], ended: Sequence[str], width: int, height: int) -> list[str]:
    """How many cells are in each state; then those that run and those that have ended, the last one first, as far as they fit.

    Of what waits the number says enough.
    """
    running = [place for place, state in states.items() if state == "running"]
    shown = [*running, *ended][: max(0, height - 2)]  # the numbers come first, and the cursor's own line is left free
    room = width - 2 - max(map(len, states.values()), default=0)
    names = [_shortened(place, room) for place in shown]
    column = max(map(len, names), default=0)
    rows = [f"{name:{column}}  {states[place]}" for name, place in zip(names, shown, strict=True)]
    return [f"{len(states)} cells: {counted(states)}", *rows]


def _shortened(place: str, room: int) -> str:
    """From both ends: a cell's place begins with its condition, and ends with its seed."""
    if len(place) <= room:
        return place
    tail = min(_TAIL, room // 2)
    return f"{place[: room - 1 - tail]}…{place[len(place) - tail :]}"


def counted(states: Mapping[str, str]) -> str:
    """How many cells are in each state."""
    return ", ".join(f"{number} {state}" for state, number in Counter(states.values()).items())

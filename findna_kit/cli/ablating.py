"""The command ablate."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from findna_kit.cli import loading
from findna_kit.cli.progress import table
from findna_kit.errors import FindnaError
from findna_kit.plugins import load_plugins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from findna_kit.ablation.run import Executor, Progress

UNFINISHED = 3


def ablate(
    study: str, *, out: Path | None, jobs: int, device: str, retry: bool, as_json: bool, without: Sequence[str],
    executor: str = "local", slurm: Sequence[str] = (),
) -> None:  # fmt: skip
    """Runs what is missing of a study, and prints what it says when nothing is; exit code 3 where it is not finished."""
    from findna_kit.ablation.local import Way
    from findna_kit.ablation.results import rows
    from findna_kit.ablation.run import Watcher, ablate

    where = _executor(executor, slurm)
    components, plugins = load_plugins(without)
    with _Shown() as shown:
        progress = ablate(
            study, out, Way(jobs, device, tuple(without), retry), components=components, plugins=plugins,
            watcher=Watcher(loading.say, shown, loading.examine), executor=where,
        )  # fmt: skip
    if progress.result is None:
        _say_what_is_left(progress)
        raise typer.Exit(UNFINISHED)
    if as_json:
        print(json.dumps(progress.result, indent=1))
        return
    table(rows(progress.result))
    if "search" in progress.result:
        print(f"\nevery condition has {progress.result['search']['words']}")
    print(f"\n{progress.folder}: the study's folder; result.json, .csv, .md and .tex hold this table")


def _executor(name: str, settings: Sequence[str]) -> Executor:
    """FindnaError where it cannot be had, or does not have those settings."""
    if name == "slurm":
        from findna_kit.ablation.sbatch import read_settings
        from findna_kit.ablation.slurm import OnSlurm

        return OnSlurm(read_settings(settings), loading.say)
    if settings:
        raise FindnaError("--slurm is for --executor slurm")
    from findna_kit.ablation.local import Here

    return Here()


def _say_what_is_left(progress: Progress) -> None:
    for place, reason in progress.failed.items():
        loading.say(f"{place}: {reason} (the whole log is {progress.folder / place}/log.txt; --retry runs it again)")
    for place, name in progress.killed.items():
        loading.say(f"{place}: was ended by {name}; the same command goes on with it")
    counted = Counter(progress.states.values())
    loading.say(f"{progress.folder}: {', '.join(f'{number} {state}' for state, number in counted.items())}")


class _Shown:
    """The cells' states: a table that is drawn anew on a terminal, lines in a log."""

    def __init__(self) -> None:
        self._live = Live(console=Console(stderr=True), transient=True) if sys.stderr.isatty() else None
        self._before: Mapping[str, str] = {}

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
            drawn = Table("cell", "state", box=None)
            for place, state in states.items():
                drawn.add_row(place, state)
            self._live.update(drawn)
        else:
            for place, state in states.items():
                if self._before.get(place, "missing") != state:
                    loading.say(f"{place}: {state}")
        self._before = dict(states)

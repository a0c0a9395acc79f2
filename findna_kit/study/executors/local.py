"""Cells on this machine: each a process of its own, so many at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError, Interrupted
from findna_kit.study.cells import LOG, RECIPE
from findna_kit.study.job_lock import JobLock
from findna_kit.trainer import StopRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from findna_kit.recipe import Recipe
    from findna_kit.study.cells import CellFolder

_LOOK = 0.2


@dataclass(frozen=True)
class ExecutionOptions:
    """How cells are run. retry: those that failed before, too."""

    jobs: int = 1
    device: str = "auto"
    without: Collection[str] = ()
    retry: bool = False


class LocalExecutor:
    """Runs cells on this machine."""

    def refuse(self, recipe: Recipe) -> None:
        """FindnaError for more than one machine, and for processes that the batch does not divide into."""
        if recipe.trainer.nodes > 1:
            raise FindnaError(
                f"trainer.nodes {recipe.trainer.nodes}: cells are run on this machine alone; leave nodes out, or take "
                "--executor slurm"
            )
        refuse_uneven(recipe)

    def run(self, folders: Sequence[CellFolder], way: ExecutionOptions, changed: Callable[[], None]) -> dict[str, str]:
        """As `run_here`. FindnaError where a Slurm job has one of the cells."""
        for one in folders:
            if claim := JobLock.read(one.folder):
                raise FindnaError(
                    f"{one.cell.place}: job {claim.id or claim.name} of Slurm has it; --executor slurm asks what became of it"
                )
        return run_here(folders, way, changed)


def refuse_uneven(recipe: Recipe) -> None:
    """FindnaError for processes that the batch does not divide into."""
    trainer, rows = recipe.trainer, recipe.data.batch_size
    if rows % (trainer.devices * trainer.nodes):
        stated = f"trainer.devices {trainer.devices}" + (f" on trainer.nodes {trainer.nodes}" if trainer.nodes > 1 else "")
        raise FindnaError(f"data.batch_size {rows} does not divide into {stated}")


def run_here(folders: Sequence[CellFolder], way: ExecutionOptions, changed: Callable[[], None]) -> dict[str, str]:
    """Runs the cells, `jobs` at a time; one that fails is kept with its reason, and the others go on.

    A cell that another process is running (an earlier call's, which was killed) is waited for. Gives the signal's name of those
    that were killed. Raises Interrupted where a signal asked to stop, when every cell has saved; a second one kills them.
    """
    here, stop = _Here(way, changed, list(folders)), StopRequest()
    with stop.listening():
        try:
            try:
                while (here.waiting or here.running) and stop.signal is None:
                    here.look()
                    time.sleep(_LOOK)
            finally:
                here.end(signal.SIGTERM)
        except KeyboardInterrupt:
            here.end(signal.SIGKILL)
            raise
    if stop.signal is not None:
        raise Interrupted(stop.signal, "stopped, once the running cells had saved; the same command goes on with the study")
    return here.killed


def command(one: CellFolder, way: ExecutionOptions) -> list[str]:
    """What runs a cell, from wherever it stands."""
    left_out = [word for name in way.without for word in ("--without", name)]
    recipe, run = str(one.folder / RECIPE), str(one.run)
    return [sys.executable, "-m", "findna_kit", "run", recipe, "--resume", run, "--device", way.device, *left_out]


def cell_threads(way: ExecutionOptions, recipe: Recipe) -> int:
    """Of each process of a cell: what OMP_NUM_THREADS says or else the cores, shared among all that run at a time."""
    stated = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if stated.isdigit() and int(stated):
        return int(stated)
    return max(1, (os.cpu_count() or 1) // (way.jobs * recipe.trainer.devices))


@dataclass
class _Here:
    way: ExecutionOptions
    changed: Callable[[], None]
    waiting: list[CellFolder]
    running: dict[subprocess.Popen[bytes], CellFolder] = field(default_factory=dict)
    killed: dict[str, str] = field(default_factory=dict)

    def look(self) -> None:
        """Starts what there is room for, and judges what has ended."""
        for process in [process for process in self.running if process.poll() is not None]:
            self._judge(self.running.pop(process), process.returncode)
            self.changed()
        for one in list(self.waiting):
            if len(self.running) >= self.way.jobs:
                break
            state = one.state()
            if state != "running":
                self.waiting.remove(one)
                if state != "finished":
                    self.running[self._started(one)] = one
                self.changed()

    def end(self, number: int) -> None:
        """Sends a signal to every cell that runs, and waits."""
        for process in self.running:
            process.send_signal(number)
        for process, one in self.running.items():
            self._judge(one, process.wait(), asked=True)
        self.running.clear()

    def _started(self, one: CellFolder) -> subprocess.Popen[bytes]:
        one.prepare()
        threads = cell_threads(self.way, one.cell.recipe)
        with (one.folder / LOG).open("ab") as log, one.taken() as mark:
            return subprocess.Popen(  # noqa: S603 - this very program
                command(one, self.way), stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                pass_fds=(mark,),
                env={"OMP_NUM_THREADS": str(threads), **os.environ},  # busy threads beside each other slow all of them
            )  # fmt: skip

    def _judge(self, one: CellFolder, code: int, *, asked: bool = False) -> None:
        """Keeps why a cell failed; one that was stopped, or killed, is only missing."""
        by = one.ended(code)
        if code < 0 and by is not None and not asked:
            self.killed[one.cell.place] = by

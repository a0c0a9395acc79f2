"""Executor for this machine: each cell is a process of its own, and a given number of them run at a time."""

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

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class ExecutionOptions:
    """Options of running cells. jobs: how many at a time; without: plugins to leave out; retry: run failed cells again."""

    jobs: int = 1
    device: str = "auto"
    without: Collection[str] = ()
    retry: bool = False


class LocalExecutor:
    """Runs cells on this machine."""

    def check_recipe(self, recipe: Recipe) -> None:
        """Raise FindnaError for a recipe of several nodes, and where the batch size is not a multiple of the processes."""
        if recipe.trainer.nodes > 1:
            raise FindnaError(
                f"trainer.nodes {recipe.trainer.nodes}: cells are run on this machine alone; leave nodes out, or take "
                "--executor slurm"
            )
        check_even_batch(recipe)

    def run(self, folders: Sequence[CellFolder], options: ExecutionOptions, changed: Callable[[], None]) -> dict[str, str]:
        """Run the cells as `run_locally` does. Raise FindnaError where a Slurm job has one of them."""
        for folder in folders:
            if lock := JobLock.read(folder.folder):
                raise FindnaError(
                    f"{folder.cell.relative_path}: belongs to Slurm job {lock.id or lock.name}; "
                    "continue with --executor slurm, which checks what became of the job"
                )
        return run_locally(folders, options, changed)


def check_even_batch(recipe: Recipe) -> None:
    """Raise FindnaError where the batch size is not a multiple of the number of processes."""
    trainer, batch_size = recipe.trainer, recipe.data.batch_size
    if batch_size % (trainer.devices * trainer.nodes):
        processes = f"trainer.devices {trainer.devices}"
        if trainer.nodes > 1:
            processes += f" on trainer.nodes {trainer.nodes}"
        raise FindnaError(f"data.batch_size {batch_size} cannot be divided evenly among {processes}")


def run_locally(folders: Sequence[CellFolder], options: ExecutionOptions, changed: Callable[[], None]) -> dict[str, str]:
    """Run the cells, `jobs` at a time, and return the signals that killed some, by their paths.

    A cell that fails is recorded with its reason, and the others continue. A cell that another process runs (left by an earlier
    call that was killed) is waited for. On a signal, all running cells save a checkpoint, then Interrupted is raised; a second
    signal kills them.
    """
    pool, stop = LocalPool(options, changed, list(folders)), StopRequest()
    with stop.listening():
        try:
            try:
                while (pool.waiting or pool.running) and stop.signal is None:
                    pool.update()
                    time.sleep(_POLL_SECONDS)
            finally:
                pool.stop(signal.SIGTERM)
        except KeyboardInterrupt:
            pool.stop(signal.SIGKILL)
            raise
    if stop.signal is not None:
        raise Interrupted(
            stop.signal, "stopped; the running cells have saved a checkpoint. Run the same command to continue the study"
        )
    return pool.killed


def cell_command(folder: CellFolder, options: ExecutionOptions) -> list[str]:
    """Return the command that runs a cell, or continues it."""
    without = [word for name in options.without for word in ("--without", name)]
    recipe, run = str(folder.folder / RECIPE), str(folder.run)
    return [sys.executable, "-m", "findna_kit", "run", recipe, "--resume", run, "--device", options.device, *without]


def cell_threads(options: ExecutionOptions, recipe: Recipe) -> int:
    """Return the threads of each process of a cell: OMP_NUM_THREADS, or else an equal share of the cores."""
    value = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if value.isdigit() and int(value):
        return int(value)
    return max(1, (os.cpu_count() or 1) // (options.jobs * recipe.trainer.devices))


@dataclass
class LocalPool:
    """The waiting and running cells of one call. killed: signals that killed cells, by their paths."""

    options: ExecutionOptions
    changed: Callable[[], None]
    waiting: list[CellFolder]
    running: dict[subprocess.Popen[bytes], CellFolder] = field(default_factory=dict)
    killed: dict[str, str] = field(default_factory=dict)

    def update(self) -> None:
        """Record what has ended, then start waiting cells up to the limit."""
        for process in [process for process in self.running if process.poll() is not None]:
            self._record_exit(self.running.pop(process), process.returncode)
            self.changed()
        for folder in list(self.waiting):
            if len(self.running) >= self.options.jobs:
                break
            state = folder.state()
            if state != "running":  # another process may still run it; it stays in the queue until that has ended
                self.waiting.remove(folder)
                if state != "finished":
                    self.running[self._start(folder)] = folder
                self.changed()

    def stop(self, number: int) -> None:
        """Send a signal to every running cell, and wait until all have ended."""
        for process in self.running:
            process.send_signal(number)
        for process, folder in self.running.items():
            self._record_exit(folder, process.wait(), requested=True)
        self.running.clear()

    def _start(self, folder: CellFolder) -> subprocess.Popen[bytes]:
        folder.prepare()
        # Without a limit each process would use all cores, and the processes would slow each other down.
        environment = {"OMP_NUM_THREADS": str(cell_threads(self.options, folder.cell.recipe)), **os.environ}
        with (folder.folder / LOG).open("ab") as log, folder.lock_descriptor() as descriptor:
            return subprocess.Popen(  # noqa: S603 - this very program
                cell_command(folder, self.options), stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                pass_fds=(descriptor,), env=environment,
            )  # fmt: skip

    def _record_exit(self, folder: CellFolder, code: int, *, requested: bool = False) -> None:
        """Record why a cell failed. A cell that was stopped or killed has not failed: it is missing, and can be resumed."""
        signal_name = folder.record_exit(code)
        if code < 0 and signal_name is not None and not requested:
            self.killed[folder.cell.relative_path] = signal_name

"""A run of several processes: its device counts, its folder, errors that one process reports for all, and Slurm requeueing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit.distributed import LOST, SUPERVISOR
from findna_kit.errors import FindnaError, Interrupted, ProcessLost, RunStopped
from findna_kit.records.run_json import RunJson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import ExitStack

    from findna_kit.distributed import Engine, Heartbeat, Launch
    from findna_kit.recipe import Recipe
    from findna_kit.records.run_folder import RunLocation
    from findna_kit.records.run_json import RunRecord


def apply_launcher(recipe: Recipe, launch: Launch | None) -> tuple[Recipe, str | None]:
    """Return the recipe with the launcher's device and node counts, and a log line if there are several processes.

    Raises FindnaError, printed by the main process only, if the recipe states more than one device or node and the launcher
    started another number of them, or there is no launcher.
    """
    trainer = recipe.trainer
    if launch is None:
        if trainer.devices * trainer.nodes > 1:
            raise FindnaError(
                f"trainer.devices {trainer.devices} on trainer.nodes {trainer.nodes}: this is one process; "
                "start it by `findna-kit run`, torchrun or srun"
            )
        return recipe, None
    # 1 is the default, so it does not count as a statement of the recipe.
    if trainer.devices not in (1, launch.per_node) or trainer.nodes not in (1, launch.nodes):
        error = FindnaError(
            f"{launch.launcher} started trainer.devices {launch.per_node} on trainer.nodes {launch.nodes}, but the recipe "
            f"states {trainer.devices} on {trainer.nodes}: make them equal, or leave them out of the recipe"
        )
        error.silent = launch.rank > 0
        raise error
    trainer = trainer.model_copy(update={"devices": launch.per_node, "nodes": launch.nodes})
    nodes = f"{launch.nodes} node{'s' if launch.nodes > 1 else ''}"
    line = f"{launch.launcher}: {launch.world_size} processes on {nodes} share each batch" if launch.world_size > 1 else None
    return recipe.model_copy(update={"trainer": trainer}), line


def acquire_folder(engine: Engine, stack: ExitStack, location: RunLocation, name: str) -> tuple[Path, bool]:
    """Create or reopen the run's folder, and return it with whether the run is resumed.

    The main process does this for all of them, and holds the folder's lock until `stack` is closed.
    """

    def acquire() -> list[str | bool]:
        folder, resuming = stack.enter_context(location.claimed(name))
        if run_file := os.environ.get(SUPERVISOR):
            Path(run_file).write_text(str(folder))
        # Other processes may run in other working directories.
        return [str(folder.absolute()) if engine.world_size > 1 else str(folder), resuming]

    folder, resuming = engine.broadcast_object(acquire)
    return Path(str(folder)), bool(resuming)


@contextmanager
def run_guard(engine: Engine, heartbeat: Heartbeat, recipe: Recipe, log: Callable[[str], None]) -> Iterator[list[Path]]:
    """Make one process report the end of a run for all of them, and requeue a Slurm job that was warned of its end.

    Yields a list that takes the run's folder. Re-raises what is raised inside; ProcessLost with the command that resumes.
    """
    folders = list[Path]()
    try:
        yield folders
    except ProcessLost as error:
        lost = ProcessLost(_with_resume_hint(str(error), folders))
        lost.silent = not _reports_loss(engine, str(lost), main_is_lost=heartbeat.main_process_is_lost())
        raise lost from error
    except RunStopped as stopped:  # raised in every process for the same reason
        stopped.silent = not engine.is_main_process
        raise
    except Interrupted as stopped:
        stopped.silent = not engine.is_main_process
        requested = recipe.trainer.requeue and stopped.signal_number == signal.SIGUSR2
        # Under the kit's supervisor, it requeues the job itself once all processes have ended.
        if requested and engine.is_main_process and SUPERVISOR not in os.environ:
            log(str(stopped))  # before the request, which makes Slurm end the job at once
            stopped.silent = True
            log(requeue())
        raise


def on_worker_lost(engine: Engine, records: Sequence[RunRecord]) -> Callable[[str, int], None]:
    """Return a callback for the heartbeat that writes the run's record, reports the loss and ends this process.

    The main thread may wait in a collective forever, so the process exits without unwinding.
    """

    def end(message: str, lost_rank: int) -> None:
        message = _with_resume_hint(message, [record.folder for record in records])
        # Only the main process's record writes to the disk.
        for record in records:
            record.update(RunJson(status="stopped", reason=message))
        if _reports_loss(engine, message, main_is_lost=lost_rank == 0):
            print(message, file=sys.stderr, flush=True)
        os._exit(ProcessLost.exit_code)

    return end


def _with_resume_hint(message: str, folders: Sequence[Path]) -> str:
    resume = f"; its last checkpoint is complete: continue with --resume {folders[0]}" if folders else ""
    return f"{message}, and the run has stopped{resume}"


def _reports_loss(engine: Engine, message: str, *, main_is_lost: bool) -> bool:
    """Return whether this process prints that another one is lost: the main process, or rank 1 if that is the lost one.

    Under the kit's supervisor no process does: the message goes to the supervisor's file, and the supervisor prints it.
    """
    if run_file := os.environ.get(SUPERVISOR):
        Path(run_file).with_suffix(LOST).write_text(message)
        return False
    return engine.rank == int(main_is_lost)


def requeue() -> str:
    """Requeue this process's Slurm job, and return a log line with the result.

    Slurm answers the request and at once sends SIGTERM to the job, so SIGTERM is ignored until the answer has arrived.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return "trainer.requeue: not in a Slurm job, so nothing is requeued"
    handler = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # ignored, not recorded: the run has already saved its state
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603, S607
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"trainer.requeue: job {job} could not be requeued: {error}"
    finally:
        signal.signal(signal.SIGTERM, handler)
    if done.returncode:
        return f"trainer.requeue: job {job} could not be requeued: {done.stderr.strip()}"
    return f"trainer.requeue: job {job} is requeued"

"""Several processes, one run: whose numbers count, what the first one does for all, and what is said where one is lost."""

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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import ExitStack

    from findna_kit.distributed import Engine, Heartbeat, Launch
    from findna_kit.recipe import Recipe
    from findna_kit.records.run_folder import RunLocation, RunRecord


def settled(recipe: Recipe, launch: Launch | None) -> tuple[Recipe, str | None]:
    """The recipe with the launcher's numbers in it, and a remark where it has started several processes.

    Raises FindnaError, said by the first process, where the recipe states more than one device or node, and the launcher has
    another number of them, or there is no launcher.
    """
    trainer = recipe.trainer
    if launch is None:
        if trainer.devices * trainer.nodes > 1:
            raise FindnaError(
                f"trainer.devices {trainer.devices} on trainer.nodes {trainer.nodes}: this is one process; "
                "start it by `findna-kit run`, torchrun or srun"
            )
        return recipe, None
    if trainer.devices not in (1, launch.per_node) or trainer.nodes not in (1, launch.nodes):
        other = FindnaError(
            f"{launch.by} started what is trainer.devices {launch.per_node} on trainer.nodes {launch.nodes}, the recipe states "
            f"{trainer.devices} on {trainer.nodes}: make them agree, or leave them out of the recipe"
        )
        other.silent = launch.rank > 0
        raise other
    trainer = trainer.model_copy(update={"devices": launch.per_node, "nodes": launch.nodes})
    nodes = f"{launch.nodes} node{'s' if launch.nodes > 1 else ''}"
    remark = f"{launch.by}: {launch.processes} processes on {nodes} share each batch" if launch.processes > 1 else None
    return recipe.model_copy(update={"trainer": trainer}), remark


def claim(engine: Engine, stack: ExitStack, place: RunLocation, name: str) -> tuple[Path, bool]:
    """The run's folder, claimed by the first process for all, and whether there is a run to be gone on with."""

    def claimed() -> list[str | bool]:
        folder, resuming = stack.enter_context(place.claimed(name))
        if told := os.environ.get(SUPERVISOR):
            Path(told).write_text(str(folder))
        return [str(folder.absolute()) if engine.world_size > 1 else str(folder), resuming]

    folder, resuming = engine.broadcast_object(claimed)
    return Path(str(folder)), bool(resuming)


@contextmanager
def run_guard(engine: Engine, watch: Heartbeat, recipe: Recipe, say: Callable[[str], None]) -> Iterator[list[Path]]:
    """Inside, a lost process becomes one sentence, and a job that asked for it is queued again once its state is saved.

    Gives a list for the run's folder. Raises what is raised inside; of ProcessLost with the way to go on.
    """
    folders = list[Path]()
    try:
        yield folders
    except ProcessLost as error:
        lost = ProcessLost(_with_the_way_on(str(error), folders))
        lost.silent = not _speaks(engine, str(lost), first_is_lost=watch.first_is_lost())
        raise lost from error
    except RunStopped as stopped:
        stopped.silent = not engine.is_main_process
        raise
    except Interrupted as stopped:
        stopped.silent = not engine.is_main_process
        asked = recipe.trainer.requeue and stopped.signal_number == signal.SIGUSR2
        if asked and engine.is_main_process and SUPERVISOR not in os.environ:  # else by the supervisor, when all have ended
            say(str(stopped))  # first: Slurm ends the whole job at once
            stopped.silent = True
            say(requeue())
        raise


def on_worker_lost(engine: Engine, kept: Sequence[RunRecord]) -> Callable[[str, int], None]:
    """What ends a process that may be waiting for another one for ever: the record is written, and the sentence said."""

    def end(sentence: str, lost: int) -> None:
        sentence = _with_the_way_on(sentence, [record.folder for record in kept])
        for record in kept:
            record.update(status="stopped", reason=sentence)
        if _speaks(engine, sentence, first_is_lost=lost == 0):
            print(sentence, file=sys.stderr, flush=True)
        os._exit(ProcessLost.exit_code)

    return end


def _with_the_way_on(sentence: str, folders: Sequence[Path]) -> str:
    resuming = f"; its last checkpoint is whole: go on with --resume {folders[0]}" if folders else ""
    return f"{sentence}, and the run has stopped{resuming}"


def _speaks(engine: Engine, sentence: str, *, first_is_lost: bool) -> bool:
    """Whether this process tells the user that one is lost: the first, or else the second; or, told here, the supervisor."""
    if supervisor := os.environ.get(SUPERVISOR):
        Path(supervisor).with_suffix(LOST).write_text(sentence)
        return False
    return engine.rank == int(first_is_lost)


def requeue() -> str:
    """Queues the Slurm job that this process is part of again; a sentence of what came of it.

    Slurm answers by ending the job, this process with it: its SIGTERM is not heeded before the answer is there.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return "trainer.requeue: this is no Slurm job, so nothing is queued again"
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603, S607
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"trainer.requeue: job {job} could not be queued again: {error}"
    finally:
        signal.signal(signal.SIGTERM, before)
    if done.returncode:
        return f"trainer.requeue: job {job} could not be queued again: {done.stderr.strip()}"
    return f"trainer.requeue: job {job} is queued again"

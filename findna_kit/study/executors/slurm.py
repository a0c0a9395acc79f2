"""Cells as jobs of a Slurm cluster, so many queued or running at a time; submitit writes, submits and requeues them."""

from __future__ import annotations

import io
import os
import re
import time
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from findna_kit.errors import FindnaError, Interrupted, require_extra
from findna_kit.study.cells import LOG
from findna_kit.study.executors import squeue
from findna_kit.study.executors.local import command, refuse_uneven
from findna_kit.study.executors.slurm_job import CellJob
from findna_kit.study.job_lock import BEAT, JOB_LOGS, JobLock, drop, last_beat, read_end
from findna_kit.trainer import StopRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from findna_kit.recipe import Recipe
    from findna_kit.study.cells import CellFolder
    from findna_kit.study.executors.local import ExecutionOptions

PATIENCE = 120.0
"""Seconds without a beat until a job that Slurm does not know any more counts as gone: a file system may show it late."""
_LOOK, _SETTLE = 0.5, 5.0
"""Seconds between looks at the cells' files; after Slurm has said that a job is over, until it has left no word."""
_ASK = (2.0, 20.0)
"""Seconds between questions to Slurm: at first and when something has changed, and at most."""
_AWAY = ("unable to contact", "timed out", "connection refused", "temporarily")
"""What sbatch says where the controller is away for a moment, and has refused nothing."""
_TIMEOUTS = 100
"""How often a job that ran out of its time is queued again."""


class SlurmExecutor:
    """Runs cells as jobs. Raises FindnaError where submitit is not installed, or no Slurm answers: before anything is written.

    settings: for submitit's Slurm executor; say: is told what a job waits for.
    """

    def __init__(self, settings: Mapping[str, Any], say: Callable[[str], None], *, patience: float = PATIENCE) -> None:
        require_extra("submitit", "slurm", "--executor slurm")
        squeue.ready()
        self._settings, self._say, self._patience = dict(settings), say, patience

    def refuse(self, recipe: Recipe) -> None:
        """FindnaError for processes that the batch does not divide into."""
        refuse_uneven(recipe)

    def run(self, folders: Sequence[CellFolder], way: ExecutionOptions, changed: Callable[[], None]) -> dict[str, str]:
        """Runs the cells; jobs that an earlier call left are waited for. Gives what ended those that were ended from outside.

        Raises Interrupted where a signal asked to stop: jobs are left as they are. FindnaError where Slurm refuses a job.
        """
        absolute = [replace(one, folder=one.folder.absolute()) for one in folders]
        slurm, stop = _Jobs(way, changed, self._settings, self._say, self._patience, absolute), StopRequest()
        with stop.listening():
            while (slurm.waiting or slurm.held) and stop.signal is None:
                slurm.look()
                time.sleep(_LOOK)
        if stop.signal is not None:
            raise Interrupted(stop.signal, _left(slurm.held))
        return slurm.ended


@dataclass
class _Held:
    """A job in hand.

    mine: submitted by this call; alive: seen to wait or run in this call; heard: when its beat was last seen to change; over:
    since when Slurm has no more to say of it; told: what the user was told of it last.
    """

    one: CellFolder
    claim: JobLock
    mine: bool = False
    alive: bool = False
    beat: int | None = None
    heard: float = field(default_factory=time.monotonic)
    over: float | None = None
    told: str | None = None

    @property
    def number(self) -> str:
        return f"job {self.claim.id}" if self.claim.id else f"job named {self.claim.name}"

    def listen(self) -> bool:
        """Whether a beat has been seen that was not there before."""
        beat = last_beat(self.one.folder)
        if beat == self.beat:
            return False
        self.beat, self.heard = beat, time.monotonic()
        return True


@dataclass
class _Jobs:
    way: ExecutionOptions
    changed: Callable[[], None]
    settings: Mapping[str, Any]
    say: Callable[[str], None]
    patience: float
    waiting: list[CellFolder]
    held: list[_Held] = field(default_factory=list)
    ended: dict[str, str] = field(default_factory=dict)
    _pause: float = _ASK[0]
    _asked: float = 0.0

    def __post_init__(self) -> None:
        self.held = [_Held(one, claim) for one in self.waiting if (claim := JobLock.read(one.folder))]
        self.waiting = [one for one in self.waiting if JobLock.read(one.folder) is None]

    def look(self) -> None:
        """Judges what has ended, and submits what there is room for."""
        before = len(self.held)
        beats = [one.listen() for one in self.held]  # every one
        for done in [held for held in self.held if read_end(held.one.folder) == 0 and held.one.state() == "finished"]:
            self._close(done)
        if self.held and time.monotonic() - self._asked > self._pause:
            self._ask()
        for one in list(self.waiting):
            if len(self.held) >= self.way.jobs:
                break
            self._start(one)
        if any(beats) or len(self.held) != before:
            self._pause = _ASK[0]
            self.changed()

    def _ask(self) -> None:
        self._asked, self._pause = time.monotonic(), min(1.5 * self._pause, _ASK[1])
        try:
            known = squeue.look([held.claim.name for held in self.held])
            for held in list(self.held):
                self._judge(held, known.get(held.claim.name))
        except squeue.NoAnswer:
            return  # and so nothing is known; to be silent for a while is no death

    def _judge(self, held: _Held, job: squeue.Job | None) -> None:
        one = held.one
        if job is not None and job.id != held.claim.id:
            held.claim = replace(held.claim, id=job.id)
            held.claim.write(one.folder)
        if job is not None and not job.over:
            if not held.mine and held.beat is None and not _written(one, job.id):
                squeue.cancel(job)
                self._close(held)
                self.waiting.insert(0, one)
                return
            held.over, held.alive = None, True
            if job.state == "PENDING":
                (one.folder / BEAT).unlink(missing_ok=True)  # of an earlier start, which Slurm has ended and queued again
            self._tell(held, job)
        elif job is None and held.claim.id is None:  # it was never submitted: whoever meant to was killed
            self._close(held)
            self.waiting.insert(0, one)
        elif job is not None or time.monotonic() - held.heard > self.patience:
            held.over = held.over or time.monotonic()
            self._pause = _ASK[0]
            if self._settled(held, job):
                self._end(held, job)

    def _settled(self, held: _Held, job: squeue.Job | None) -> bool:
        """Whether all that a job has written is there to be read; a file system of several nodes may show it late."""
        code = read_end(held.one.folder)
        good = code == 0 or (code is None and job is not None and job.state == "COMPLETED")
        return bool(code) or held.beat is None or time.monotonic() - (held.over or 0) > (self.patience if good else _SETTLE)

    def _tell(self, held: _Held, job: squeue.Job) -> None:
        """Says once what a job waits for where time alone may not help, or that nothing is heard of one that runs."""
        sentence = f"waits for {job.reason}" if job.stuck else None
        silent = time.monotonic() - held.heard
        if job.state == "RUNNING" and silent > self.patience:
            sentence = f"runs, and has given no sign of life for {self.patience:.0f} s; `scancel {job.id}` ends it"
        if sentence != held.told and sentence is not None:
            self.say(f"{held.one.cell.place}: {held.number} {sentence}")
        held.told = sentence

    def _end(self, held: _Held, job: squeue.Job | None) -> None:
        """Keeps why a cell failed; one that was ended from outside is only missing, and one that was preempted goes on."""
        one, code = held.one, read_end(held.one.folder)
        by = squeue.OVER[job.state] if job is not None else None
        if one.state() != "finished" and job is not None and squeue.preempted(job):
            self.say(f"{one.cell.place}: was preempted ({held.number}), and is submitted again")
            self.waiting.insert(0, one)
        elif one.state() != "finished":
            if by is None and code is not None:
                by = one.ended(code)
            elif by is None:
                by = squeue.exit_of(job) if job is not None else "the end of its job, which Slurm has forgotten"
            if by is not None and (held.mine or held.alive):
                self.ended[one.cell.place] = f"{by} ({held.number})"
            elif by is not None:
                self.say(f"{one.cell.place}: was ended by {by} ({held.number}) meanwhile, and goes on now")
                self.waiting.insert(0, one)
        self._close(held)

    def _close(self, held: _Held) -> None:
        drop(held.one.folder)
        self.held.remove(held)

    def _start(self, one: CellFolder) -> None:
        state = one.state()
        if state == "running":  # without a job: a process of this machine has it
            return
        self.waiting.remove(one)
        if state == "finished":
            return
        one.prepare()
        claim = JobLock(_name(one))
        claim.write(one.folder)
        held = _Held(one, claim, mine=True)
        self.held.append(held)
        try:
            held.claim = JobLock(claim.name, _submitted(one, claim.name, self.way, self.settings))
        except _Refused as refused:
            self._refuse_unless_silent(held, str(refused))
            return
        held.claim.write(one.folder)

    def _refuse_unless_silent(self, held: _Held, reason: str) -> None:
        """FindnaError where Slurm answers, and has not taken the job; where it does not answer, it is asked again later."""
        if any(word in reason.lower() for word in _AWAY):
            return
        try:
            taken = held.claim.name in squeue.look([held.claim.name])
        except squeue.NoAnswer:
            return
        if not taken:
            self._close(held)
            resuming = f"; {_left(self.held)}" if self.held else ""
            raise FindnaError(f"{held.one.cell.place}: Slurm refuses the job: {reason}{resuming}")


class _Refused(Exception):
    """sbatch has ended badly."""


def _name(one: CellFolder) -> str:
    """A job's name, like no other's: of the cell, and a random word."""
    cell = re.sub(r"[^\w.+-]", "-", one.cell.place.removeprefix("cells/"))
    return f"{cell}-{uuid4().hex[:10]}"


def _submitted(one: CellFolder, name: str, way: ExecutionOptions, settings: Mapping[str, Any]) -> str:
    """The number of the job that runs a cell from now on. Raises _Refused."""
    from submitit import AutoExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    trainer = one.cell.recipe.trainer
    # Since Slurm 22.05 srun does not take this from sbatch any more.
    cores = [f"--cpus-per-task={settings['cpus_per_task']}"] if "cpus_per_task" in settings else []
    chosen = {**settings, "srun_args": [*cores, *settings.get("srun_args", [])], "stderr_to_stdout": True, "job_name": name}
    executor = AutoExecutor(one.folder / JOB_LOGS, cluster="slurm", slurm_max_num_timeout=_TIMEOUTS)
    executor.update_parameters(
        nodes=trainer.nodes, tasks_per_node=trainer.devices, **{f"slurm_{key}": value for key, value in chosen.items()}
    )
    job = CellJob(str(one.folder), name, tuple(command(one, way)), str(one.folder / LOG))
    try:
        with _unnested(), redirect_stderr(io.StringIO()):  # submitit prints what it raises
            return str(executor.submit(job).job_id)
    except (FailedJobError, FailedSubmissionError) as error:
        raise _Refused((str(error).strip().splitlines() or ["it does not say why"])[0].removeprefix("sbatch: ")) from error


def _written(one: CellFolder, job: str) -> bool:
    """Whether what a job is to do is there to be read; not so where a call was killed between sbatch and this."""
    from submitit.core.utils import JobPaths

    return bool(JobPaths(one.folder / JOB_LOGS, job).submitted_pickle.exists())


@contextmanager
def _unnested() -> Iterator[None]:
    """Inside, what a job's environment says of that job is not there; where Slurm's configuration is, stays."""
    from submitit.helpers import clean_env

    if "SLURM_JOB_ID" not in os.environ:
        yield
        return
    kept = {name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}
    with clean_env():
        os.environ.update(kept)
        yield


def _left(held: Sequence[_Held]) -> str:
    numbers = [one.claim.id for one in held if one.claim.id]
    if not numbers:
        return "stopped; the same command goes on with the study"
    jobs = f"jobs {', '.join(numbers)} go" if len(numbers) > 1 else f"job {numbers[0]} goes"
    return f"{jobs} on without this command, and the same one finds them again; `scancel {' '.join(numbers)}` ends them"

"""Executor for a Slurm cluster: each cell is a job, and a given number of jobs are queued or running at a time.

submitit writes, submits and requeues the jobs. Their states come from squeue, and from the files of `job_lock` in each cell.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError, Interrupted, require_extra
from findna_kit.study.executors import squeue
from findna_kit.study.executors.local import check_even_batch
from findna_kit.study.executors.slurm_submission import SubmissionRefused, is_submitted, job_name, submit
from findna_kit.study.job_lock import HEARTBEAT, JobExit, JobLock, last_heartbeat, remove_job_files
from findna_kit.trainer import StopRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from findna_kit.recipe import Recipe
    from findna_kit.study.cells import CellFolder
    from findna_kit.study.executors.local import ExecutionOptions
    from findna_kit.study.executors.slurm_options import SlurmSettings

HEARTBEAT_TIMEOUT = 120.0
"""Seconds without a heartbeat after which a job that Slurm no longer knows counts as lost.

A shared file system may show a heartbeat late, so this is many times the interval of the heartbeats.
"""
_POLL_SECONDS = 0.5
"""Seconds between checks of the cells' files."""
_SETTLE_SECONDS = 5.0
"""Seconds to wait, after Slurm has reported the end of a job, until its files count as complete."""
_QUERY_SECONDS = (2.0, 20.0)
"""Seconds between queries of squeue: after a change, and at most. In between the pause grows by half each time."""
_CONTROLLER_AWAY = ("unable to contact", "timed out", "connection refused", "temporarily")
"""Parts of messages of sbatch that mean that the controller is not reachable, rather than that it refused the job."""


class SlurmExecutor:
    """Runs cells as Slurm jobs.

    Raises FindnaError where submitit is not installed or Slurm does not answer, before anything is written. settings: of
    submitit's Slurm executor. log: receives sentences about jobs that wait. timeout: seconds without a heartbeat.
    """

    def __init__(
        self, settings: SlurmSettings, log: Callable[[str], None], *, timeout: float = HEARTBEAT_TIMEOUT
    ) -> None:  # fmt: skip
        require_extra("submitit", "slurm", "--executor slurm")
        squeue.check_available()
        self._settings, self._log, self._timeout = dict(settings), log, timeout

    def check_recipe(self, recipe: Recipe) -> None:
        """Raise FindnaError where the batch size is not a multiple of the number of processes."""
        check_even_batch(recipe)

    def run(self, folders: Sequence[CellFolder], options: ExecutionOptions, changed: Callable[[], None]) -> dict[str, str]:
        """Run the cells, and return what ended some of them from outside, by their paths.

        Jobs of an earlier call are taken over. On a signal, jobs continue and Interrupted is raised. Raises FindnaError where
        Slurm refuses a job.
        """
        absolute = [replace(folder, folder=folder.folder.absolute()) for folder in folders]
        queue, stop = JobQueue(options, changed, self._settings, self._log, self._timeout, absolute), StopRequest()
        with stop.listening():
            while (queue.waiting or queue.tracked) and stop.signal is None:
                queue.update()
                time.sleep(_POLL_SECONDS)
        if stop.signal is not None:
            raise Interrupted(stop.signal, _remaining_jobs(queue.tracked))
        return queue.ended


@dataclass
class TrackedJob:
    """A job that this call follows.

    submitted_here: by this call, not by an earlier one. seen_alive: this call has seen it wait or run. heartbeat_seen: when
    its heartbeat was last seen to change, by this process's clock. over_since: since when Slurm reports its end, or does not
    know it. last_message: what was last logged about it.
    """

    folder: CellFolder
    lock: JobLock
    submitted_here: bool = False
    seen_alive: bool = False
    heartbeat: int | None = None
    heartbeat_seen: float = field(default_factory=time.monotonic)
    over_since: float | None = None
    last_message: str | None = None

    @property
    def label(self) -> str:
        """Return what messages call the job."""
        return f"job {self.lock.id}" if self.lock.id else f"job named {self.lock.name}"

    @property
    def path(self) -> str:
        """Return the path of the job's cell in the study's folder."""
        return self.folder.cell.relative_path

    def check_heartbeat(self) -> bool:
        """Return whether the heartbeat has changed since the last call."""
        # Compared with itself only: the clocks of nodes and file servers differ.
        heartbeat = last_heartbeat(self.folder.folder)
        if heartbeat == self.heartbeat:
            return False
        self.heartbeat, self.heartbeat_seen = heartbeat, time.monotonic()
        return True


@dataclass
class JobQueue:
    """The cells of one call: those that wait for a job, and those whose jobs are followed.

    ended: what ended cells from outside, by their paths.
    """

    options: ExecutionOptions
    changed: Callable[[], None]
    settings: SlurmSettings
    log: Callable[[str], None]
    timeout: float
    waiting: list[CellFolder]
    tracked: list[TrackedJob] = field(default_factory=list)
    ended: dict[str, str] = field(default_factory=dict)
    _pause: float = _QUERY_SECONDS[0]
    _queried: float = 0.0

    def __post_init__(self) -> None:
        self.tracked = [TrackedJob(folder, lock) for folder in self.waiting if (lock := JobLock.read(folder.folder))]
        self.waiting = [folder for folder in self.waiting if JobLock.read(folder.folder) is None]

    def update(self) -> None:
        """Follow up on jobs that have ended, then submit waiting cells up to the limit."""
        before = len(self.tracked)
        heartbeats = [job.check_heartbeat() for job in self.tracked]  # a list, because any() would stop at the first change
        for job in [job for job in self.tracked if JobExit.read(job.folder.folder) == JobExit(0)]:
            if job.folder.state() == "finished":
                self._release(job)
        if self.tracked and time.monotonic() - self._queried > self._pause:
            self._query_slurm()
        for folder in list(self.waiting):
            if len(self.tracked) >= self.options.jobs:
                break
            self._start(folder)
        if any(heartbeats) or len(self.tracked) != before:
            self._pause = _QUERY_SECONDS[0]
            self.changed()

    def _query_slurm(self) -> None:
        self._queried, self._pause = time.monotonic(), min(1.5 * self._pause, _QUERY_SECONDS[1])
        try:
            known = squeue.query_jobs([job.lock.name for job in self.tracked])
            for job in list(self.tracked):
                self._follow_up(job, known.get(job.lock.name))
        except squeue.SlurmUnavailable:
            return  # nothing is known about the jobs; that Slurm does not answer must not count as their end

    def _follow_up(self, job: TrackedJob, status: squeue.JobStatus | None) -> None:
        """Act on what Slurm reports of a job. status: None where Slurm does not know it."""
        # The ID is not recorded where a call was killed, or lost the answer of sbatch, just after it had submitted the job.
        if status is not None and status.id != job.lock.id:
            job.lock = replace(job.lock, id=status.id)
            job.lock.write(job.folder.folder)
        if status is not None and not status.over:
            self._follow_up_live(job, status)
        elif status is None and job.lock.id is None:  # the call that was about to submit it was killed
            self._release(job)
            self.waiting.insert(0, job.folder)
        # squeue forgets an ended job after some minutes: a job that it does not list counts as over only without heartbeats.
        elif status is not None or time.monotonic() - job.heartbeat_seen > self.timeout:
            job.over_since = job.over_since or time.monotonic()
            self._pause = _QUERY_SECONDS[0]
            if self._files_complete(job, status):
                self._end(job, status)

    def _follow_up_live(self, job: TrackedJob, status: squeue.JobStatus) -> None:
        """Act on a job that waits or runs."""
        if not job.submitted_here and job.heartbeat is None and not is_submitted(job.folder, status.id):
            squeue.cancel(status)  # an earlier call was killed before it wrote what the job is to do
            self._release(job)
            self.waiting.insert(0, job.folder)
            return
        job.over_since, job.seen_alive = None, True
        if status.state == "PENDING":
            # A heartbeat is from an earlier start, which Slurm has ended and queued again.
            (job.folder.folder / HEARTBEAT).unlink(missing_ok=True)
        self._log_problem(job, status)

    def _files_complete(self, job: TrackedJob, status: squeue.JobStatus | None) -> bool:
        """Return whether all that a job has written can be read; a shared file system may show it late."""
        end = JobExit.read(job.folder.folder)
        # After success the results must appear, so it is worth waiting for long; after a failure there may be nothing to see.
        succeeded = end == JobExit(0) or (end is None and status is not None and status.state == "COMPLETED")
        waited = time.monotonic() - (job.over_since or 0)
        failed = end is not None and end.code != 0
        return failed or job.heartbeat is None or waited > (self.timeout if succeeded else _SETTLE_SECONDS)

    def _log_problem(self, job: TrackedJob, status: squeue.JobStatus) -> None:
        """Log, once, why a job is pending if waiting may not help, or that a running job sends no heartbeat."""
        message = f"is pending: {status.stuck_reason}" if status.stuck_reason else None
        if status.state == "RUNNING" and time.monotonic() - job.heartbeat_seen > self.timeout:
            message = (
                f"is running, but has sent no heartbeat for {self.timeout:.0f} s; it is left alone, "
                f"`scancel {status.id}` would end it"
            )
        if message != job.last_message and message is not None:
            self.log(f"{job.path}: {job.label} {message}")
        job.last_message = message

    def _end(self, job: TrackedJob, status: squeue.JobStatus | None) -> None:
        """Record why a cell failed, or what ended it from outside; a preempted cell is submitted again."""
        folder, end = job.folder, JobExit.read(job.folder.folder)
        cause = squeue.END_CAUSES[status.state] if status is not None else None
        if folder.state() != "finished" and status is not None and squeue.was_preempted(status):
            self.log(f"{job.path}: was preempted ({job.label}), and is submitted again")
            self.waiting.insert(0, folder)
        elif folder.state() != "finished":
            if cause is None and end is not None:
                cause = folder.record_exit(end.code)
            elif cause is None:
                unknown = "the end of its job, which Slurm no longer knows"
                cause = unknown if status is None else squeue.describe_exit(status)
            if cause is not None and (job.submitted_here or job.seen_alive):
                self.ended[job.path] = f"{cause} ({job.label})"
            elif cause is not None:
                self.log(f"{job.path}: was ended by {cause} ({job.label}) since the last call, and is submitted again")
                self.waiting.insert(0, folder)
        self._release(job)

    def _release(self, job: TrackedJob) -> None:
        remove_job_files(job.folder.folder)
        self.tracked.remove(job)

    def _start(self, folder: CellFolder) -> None:
        state = folder.state()
        if state == "running":  # without a job: a process of this machine runs it
            return
        self.waiting.remove(folder)
        if state == "finished":
            return
        folder.prepare()
        # The name is recorded before sbatch is called: whichever process is killed, the job can be found by it.
        lock = JobLock(job_name(folder))
        lock.write(folder.folder)
        job = TrackedJob(folder, lock, submitted_here=True)
        self.tracked.append(job)
        try:
            job.lock = JobLock(lock.name, submit(folder, lock.name, self.options, self.settings))
        except SubmissionRefused as refused:
            self._raise_if_refused(job, str(refused))
            return
        job.lock.write(folder.folder)

    def _raise_if_refused(self, job: TrackedJob, reason: str) -> None:
        """Raise FindnaError where Slurm answers and has not taken the job; where it does not answer, query it again later."""
        if any(words in reason.lower() for words in _CONTROLLER_AWAY):
            return
        try:
            known = squeue.query_jobs([job.lock.name])
        except squeue.SlurmUnavailable:
            return
        if job.lock.name not in known:
            self._release(job)
            others = f"; {_remaining_jobs(self.tracked)}" if self.tracked else ""
            raise FindnaError(f"{job.path}: Slurm refuses the job: {reason}{others}")


def _remaining_jobs(jobs: Sequence[TrackedJob]) -> str:
    """Return a sentence about the jobs that continue without this command."""
    ids = [job.lock.id for job in jobs if job.lock.id]
    if not ids:
        return "stopped; run the same command to continue the study"
    subject = f"jobs {', '.join(ids)} continue" if len(ids) > 1 else f"job {ids[0]} continues"
    return (
        f"{subject} without this command; run the same command to follow them again, or end them with `scancel {' '.join(ids)}`"
    )

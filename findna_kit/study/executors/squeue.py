"""States of Slurm jobs from squeue and scontrol. sacct is not used: many sites keep no accounting, or hide it from users."""

from __future__ import annotations

import re
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Iterable

_TIMEOUT_SECONDS = 60
_FORMAT = "%i|%T|%r|%j"
END_CAUSES = {
    "CANCELLED": "scancel", "TIMEOUT": "its time limit", "DEADLINE": "its deadline", "NODE_FAIL": "the loss of its node",
    "BOOT_FAIL": "a node that did not start", "OUT_OF_MEMORY": "running out of memory",
    "REVOKED": "another cluster, which has it now", "FAILED": None, "COMPLETED": None, "PREEMPTED": None,
}  # fmt: skip
"""Final states of a job, and what ended it where the state tells."""
_NORMAL_REASONS = ("None", "Priority", "Resources", "BeginTime", "Cleaning", "Dependency", "Prolog")
"""Pending reasons that resolve without action by the user."""


class SlurmUnavailable(Exception):
    """A command of Slurm that failed or did not answer: the state of a job is not known."""


@dataclass(frozen=True)
class JobStatus:
    """State of one job as squeue reports it."""

    id: str
    state: str
    reason: str

    @property
    def over(self) -> bool:
        """Return whether the job has ended for good."""
        return self.state in END_CAUSES

    @property
    def stuck_reason(self) -> str | None:
        """Return why the job is pending, if waiting alone may not help."""
        return self.reason if self.state == "PENDING" and self.reason not in _NORMAL_REASONS else None


def check_available() -> None:
    """Raise FindnaError where no Slurm answers on this machine."""
    try:
        query_jobs([])
    except SlurmUnavailable as error:
        raise FindnaError(
            f"--executor slurm: no Slurm answers here ({error}); leave the option out to run on this machine"
        ) from error


def query_jobs(names: Iterable[str]) -> dict[str, JobStatus]:
    """Return the jobs of these names that Slurm knows: pending, running and, for some minutes, ended ones."""
    # The extra name is there because squeue, given no name at all, would list every job of the cluster.
    name_list = ",".join([*names, "findna-kit"])
    output = _run("squeue", "--noheader", "--states=all", f"--name={name_list}", f"--format={_FORMAT}")
    fields = [line.split("|", 3) for line in output.splitlines() if line.strip()]
    return {name: JobStatus(job_id, state, reason) for job_id, state, reason, name in fields}


def was_preempted(job: JobStatus) -> bool:
    """Return whether a job that has ended was preempted. Raise SlurmUnavailable.

    A job that is granted time to save (GraceTime) ends by itself within that time, as COMPLETED or FAILED; only the recorded
    time of its preemption distinguishes it.
    """
    if job.state in ("COMPLETED", "FAILED"):
        return re.search(r"\bPreemptTime=\d", _run("scontrol", "show", "job", "--oneliner", job.id)) is not None
    return job.state == "PREEMPTED"


def describe_exit(job: JobStatus) -> str:
    """Return how a job ended that ended by itself: the signal that killed it, or its exit code."""
    try:
        match = re.search(r"\bExitCode=(\d+):(\d+)", _run("scontrol", "show", "job", "--oneliner", job.id))
    except SlurmUnavailable:
        match = None
    code, signal_number = (int(number) for number in match.groups()) if match else (0, 0)
    # Slurm reports CODE:SIGNAL. Where a shell ran the command, the code is 128 plus the signal's number and SIGNAL is 0.
    number = signal_number or code - 128
    if number in set(signal.Signals):
        return signal.Signals(number).name
    return f"the end of its job ({job.state}, exit code {code}) before the run had ended"


def cancel(job: JobStatus) -> None:
    """Cancel a job; do nothing where Slurm does not answer."""
    with suppress(SlurmUnavailable):
        _run("scancel", job.id)


def _run(*words: str) -> str:
    """Return the output of a command of Slurm. Raise SlurmUnavailable where it fails or takes too long."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)  # noqa: S603
    except FileNotFoundError as error:
        raise SlurmUnavailable(f"there is no {words[0]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmUnavailable(str(error)) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"{words[0]} ended with exit code {done.returncode}"]
        raise SlurmUnavailable(lines[-1])
    return done.stdout

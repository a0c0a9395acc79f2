"""What Slurm says of jobs, by squeue and scontrol alone: many sites keep no accounts, or not for users."""

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

_PATIENCE = 60
"""Seconds for an answer."""
_FORM = "%i|%T|%r|%j"
OVER = {
    "CANCELLED": "scancel", "TIMEOUT": "its time limit", "DEADLINE": "its deadline", "NODE_FAIL": "the loss of its node",
    "BOOT_FAIL": "a node that did not start", "OUT_OF_MEMORY": "want of memory",
    "REVOKED": "another cluster, which has it now", "FAILED": None, "COMPLETED": None, "PREEMPTED": None,
}  # fmt: skip
"""States that a job does not leave, and what ended it, where the state says so."""
_USUAL = ("None", "Priority", "Resources", "BeginTime", "Cleaning", "Dependency", "Prolog")
"""Reasons for which a job waits that time cures."""


class NoAnswer(Exception):
    """Slurm says nothing now; what a job does is not known."""


@dataclass(frozen=True)
class Job:
    """One job as Slurm sees it."""

    id: str
    state: str
    reason: str

    @property
    def over(self) -> bool:
        """Whether it will never run again."""
        return self.state in OVER

    @property
    def stuck(self) -> str | None:
        """Why it waits, where waiting alone may not help."""
        return self.reason if self.state == "PENDING" and self.reason not in _USUAL else None


def ready() -> None:
    """FindnaError where no Slurm answers here."""
    try:
        look([])
    except NoAnswer as error:
        raise FindnaError(f"--executor slurm: no Slurm answers here ({error}); leave it out to run on this machine") from error


def look(names: Iterable[str]) -> dict[str, Job]:
    """The jobs of these names that Slurm knows: all that wait or run, and for some minutes those that have ended."""
    wanted = ",".join([*names, "findna-kit"])  # of no name at all it would tell every job of the cluster
    said = _asked("squeue", "--noheader", "--states=all", f"--name={wanted}", f"--format={_FORM}")
    found = [line.split("|", 3) for line in said.splitlines() if line.strip()]
    return {name: Job(number, state, reason) for number, state, reason, name in found}


def preempted(job: Job) -> bool:
    """Whether a job that is over had to make room for another. Raises NoAnswer.

    One that is given time to save (GraceTime) ends by itself in that time, and only when it was warned tells it from others.
    """
    if job.state in ("COMPLETED", "FAILED"):
        return re.search(r"\bPreemptTime=\d", _asked("scontrol", "show", "job", "--oneliner", job.id)) is not None
    return job.state == "PREEMPTED"


def exit_of(job: Job) -> str:
    """How a job ended that ended by itself: the signal that killed it, or its exit code."""
    try:
        found = re.search(r"\bExitCode=(\d+):(\d+)", _asked("scontrol", "show", "job", "--oneliner", job.id))
    except NoAnswer:
        found = None
    code, by = (int(word) for word in found.groups()) if found else (0, 0)
    number = by or code - 128
    if number in set(signal.Signals):
        return signal.Signals(number).name
    return f"the end of its job ({job.state}, exit code {code}) before that of the run"


def cancel(job: Job) -> None:
    """Ends a job, if Slurm hears it."""
    with suppress(NoAnswer):
        _asked("scancel", job.id)


def _asked(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE, check=False)  # noqa: S603
    except FileNotFoundError as error:
        raise NoAnswer(f"there is no {words[0]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoAnswer(str(error)) from error
    if done.returncode:
        raise NoAnswer((done.stderr.strip().splitlines() or [f"{words[0]} ended with exit code {done.returncode}"])[-1])
    return done.stdout

"""Files of a cell about its Slurm job: which job has the cell, its heartbeat, and its exit code.

Jobs import this module too, on any node, so it imports little.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from findna_kit.atomic import atomic_write

if TYPE_CHECKING:
    from pathlib import Path

JOB, HEARTBEAT, ENDED = "job.json", "heartbeat", "ended.json"
JOB_LOGS = "job"
"""Directory for the files that submitit and Slurm write about a cell's jobs."""


@dataclass(frozen=True)
class JobLock:
    """Content of job.json: the Slurm job that has a cell.

    name: chosen before the job is submitted, so that it is found again whichever process is killed. id: None until it is known.
    """

    name: str
    id: str | None = None

    # A dataclass and json rather than pydantic: every process of every job imports this module.
    @staticmethod
    def read(folder: Path) -> JobLock | None:
        """Return the cell's job, None where no job has it."""
        try:
            return JobLock(**json.loads((folder / JOB).read_text()))
        except FileNotFoundError:
            return None

    def write(self, folder: Path) -> None:
        """Record that this job has the cell."""
        with atomic_write(folder / JOB) as temporary:
            temporary.write_text(json.dumps(asdict(self)) + "\n")


@dataclass(frozen=True)
class JobExit:
    """Content of ended.json: the exit code of the run in a job."""

    code: int

    @staticmethod
    def read(folder: Path) -> JobExit | None:
        """Return how the run in the job ended, None where that is not recorded (yet)."""
        with suppress(FileNotFoundError):
            return JobExit(int(json.loads((folder / ENDED).read_text())["code"]))
        return None

    def write(self, folder: Path) -> None:
        """Record the exit code in the cell's folder."""
        with atomic_write(folder / ENDED) as temporary:
            temporary.write_text(json.dumps(asdict(self)) + "\n")


def remove_job_files(folder: Path) -> None:
    """Release the cell: remove its job's files."""
    # job.json first: without it the other two have no meaning, so a kill in between still releases the cell.
    for name in (JOB, HEARTBEAT, ENDED):
        (folder / name).unlink(missing_ok=True)


def last_heartbeat(folder: Path) -> int | None:
    """Return the time of the job's last heartbeat in nanoseconds, by the file system's clock; None before the first."""
    with suppress(FileNotFoundError):
        return (folder / HEARTBEAT).stat().st_mtime_ns
    return None

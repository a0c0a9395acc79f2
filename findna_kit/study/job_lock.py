"""A cell's files about its Slurm job: which one has it, that it lives, how it ended.

Read by jobs too, on whatever node, so it imports little.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from findna_kit.atomic import atomic_write

if TYPE_CHECKING:
    from pathlib import Path

JOB, BEAT, ENDED = "job.json", "heartbeat", "ended.json"
JOB_LOGS = "job"
"""The folder for what submitit and Slurm write of a cell's jobs."""


@dataclass(frozen=True)
class JobLock:
    """Which Slurm job has a cell. name: given before it is submitted, so that it is found whoever is killed; id: once known."""

    name: str
    id: str | None = None

    @staticmethod
    def read(folder: Path) -> JobLock | None:
        """The cell's; None where no job has it."""
        try:
            return JobLock(**json.loads((folder / JOB).read_text()))
        except FileNotFoundError:
            return None

    def write(self, folder: Path) -> None:
        """The cell is this job's."""
        with atomic_write(folder / JOB) as beside:
            beside.write_text(json.dumps(asdict(self)) + "\n")


def drop(folder: Path) -> None:
    """No job has the cell any more."""
    for name in (JOB, BEAT, ENDED):
        (folder / name).unlink(missing_ok=True)


def write_end(folder: Path, code: int) -> None:
    """The run in the job has ended with that code."""
    with atomic_write(folder / ENDED) as beside:
        beside.write_text(json.dumps({"code": code}) + "\n")


def read_end(folder: Path) -> int | None:
    """The code with which the run in the job ended; None where nobody has said so."""
    with suppress(FileNotFoundError):
        return int(json.loads((folder / ENDED).read_text())["code"])
    return None


def last_beat(folder: Path) -> int | None:
    """When the job last said that it lives, by the clock of the file system; None where it has not begun."""
    with suppress(FileNotFoundError):
        return (folder / BEAT).stat().st_mtime_ns
    return None

"""A study's folder: what is finished, what failed and what is missing, told by the cells' own folders alone."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from findna_kit.atomic import atomic_write
from findna_kit.errors import FindnaError
from findna_kit.recipe import diff, load_recipe
from findna_kit.records.evaluation_json import read_evaluation
from findna_kit.records.json_files import write_json
from findna_kit.records.paths import LOCK
from findna_kit.records.run_json import read_run_json
from findna_kit.records.run_status import is_locked
from findna_kit.study.job_lock import JobLock, drop, last_beat

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.plugins.registry import Components
    from findna_kit.records.evaluation_json import ContenderName, TaskResult
    from findna_kit.study.schema import Cell, Study

State = Literal["finished", "queued", "running", "failed", "missing"]
STUDY, FAILED, LOG, RECIPE = "study.json", "failed.json", "log.txt", "recipe.yaml"
_STOPPED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""Signals that ask a run to save and stop, which then ends with 128 and theirs."""


@dataclass(frozen=True)
class CellFolder:
    """One cell on the disk: a folder for its recipe, log and failure, and in it the run's own, `run`.

    tasks: what each is called in tables, by its key in evaluation.json.
    """

    cell: Cell
    folder: Path
    tasks: Mapping[str, str]

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.folder / "run"

    def state(self) -> State:
        """Finished: trained and scored on every task. Running: some process is at it, whoever started it.

        Queued and running are of its Slurm job, where it has one, what its files say; whether that job is, only Slurm knows.
        """
        if self._scored():
            return "finished"
        if JobLock.read(self.folder) is not None:
            return "queued" if last_beat(self.folder) is None else "running"
        if self._held():
            return "running"
        return "failed" if (self.folder / FAILED).exists() else "missing"

    def refuse_another(self, components: Components) -> None:
        """FindnaError where the cell was begun with another recipe."""
        path = self.folder / RECIPE
        if not path.exists() or path.read_text() == self.cell.recipe.dump():
            return
        if differs := diff(load_recipe(path.absolute(), components), self.cell.recipe):
            wrong = f"{path}: was begun with another recipe; take another --out, or give back what was changed:"
            raise FindnaError("\n  ".join([wrong, *differs]))

    def prepare(self) -> None:
        """Writes the cell's recipe, and forgets how it failed before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.folder / RECIPE) as beside:
            beside.write_text(self.cell.recipe.dump())
        (self.folder / FAILED).unlink(missing_ok=True)
        drop(self.folder)

    @contextmanager
    def taken(self) -> Iterator[int]:
        """A descriptor that marks the cell as running for as long as any process has it open.

        It is for the cell's own process, which has it from its first moment to its last, while the run's lock is taken only
        once everything has been imported, and left before the run is scored.
        """
        descriptor = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def ended(self, code: int) -> str | None:
        """Keeps why its run failed, from its exit code; the name of the signal where one stopped or killed it."""
        if code < 0:
            return signal.Signals(-code).name
        if code - 128 in _STOPPED:
            return signal.Signals(code - 128).name
        if self.state() != "finished":
            last = (self.folder / LOG).read_text(errors="replace").strip().splitlines() or ["nothing was said"]
            self.fail(f"exit code {code}: {last[-1]}")
        return None

    def fail(self, reason: str) -> None:
        """Keeps why it failed, beside its log."""
        write_json(self.folder / FAILED, {"reason": reason})

    def reason(self) -> str:
        """Why it failed."""
        return str(json.loads((self.folder / FAILED).read_text())["reason"])

    def score(self, task: str, protocol: str, score: str) -> dict[ContenderName, float]:
        """Return the scores of the encoder and of its controls, by name."""
        contenders = self._results()[task].protocols[protocol].contenders()
        return {name: contender.score(score).value for name, contender in contenders.items()}

    def _scored(self) -> bool:
        if read_run_json(self.run).status != "finished":
            return False
        results, protocols = self._results(), self.cell.recipe.evaluation.protocols
        return all(task in results and set(protocols) <= set(results[task].protocols) for task in self.tasks)

    def _results(self) -> dict[str, TaskResult]:
        return read_evaluation(self.run, "remove it, and call ablate again")

    def _held(self) -> bool:
        """Whether a process that `ablate` started has the cell, or another one its run."""
        return is_locked(self.folder / LOCK) or is_locked(self.run / LOCK)


def folders_of(cells: Sequence[Cell], out: Path, tasks: Mapping[str, str]) -> list[CellFolder]:
    """Every cell's folder in the study's."""
    return [CellFolder(cell, out / cell.place, tasks) for cell in cells]


def scores_of(study: Study, folders: Sequence[CellFolder], condition: str) -> NDArray[np.float64]:
    """The encoder's score [seeds, tasks] of one condition, seeds in the study's order. Every cell of it must be finished.

    Raises FindnaError for a score that is no number.
    """
    by_seed = {one.cell.seed: one for one in folders if one.cell.condition == condition}
    scores = np.array(
        [
            [by_seed[seed].score(task, study.protocol, study.score)["encoder"] for task in by_seed[seed].tasks]
            for seed in study.every_seed
        ]
    )
    if not np.isfinite(scores).all():
        raise FindnaError(f"{condition}: {study.metric} of a seed is no number, and cannot be compared; take another metric")
    return scores

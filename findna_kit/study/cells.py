"""Folders of a study's cells: whether each is finished, running, failed or missing, as its files and locks show."""

from __future__ import annotations

import fcntl
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
from findna_kit.records.paths import LOCK
from findna_kit.records.run_json import read_run_json
from findna_kit.records.run_status import is_locked
from findna_kit.study.files import FAILED, FailureRecord, read_model
from findna_kit.study.job_lock import JobLock, last_heartbeat, remove_job_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.plugins.registry import Components
    from findna_kit.records.evaluation_json import ContenderName, TaskResult
    from findna_kit.study.schema import Study, StudyCell

State = Literal["finished", "queued", "running", "failed", "missing"]
LOG, RECIPE = "log.txt", "recipe.yaml"
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""Signals on which a run saves a checkpoint and stops. Its exit code is then 128 plus the signal's number."""


@dataclass(frozen=True)
class CellFolder:
    """Folder of one cell: its recipe, log and failure and, in the subfolder `run`, the run itself.

    tasks: name of each task in tables, by its key in evaluation.json.
    """

    cell: StudyCell
    folder: Path
    tasks: Mapping[str, str]

    @property
    def run(self) -> Path:
        """Return the run's folder."""
        return self.folder / "run"

    def state(self) -> State:
        """Return the state of the cell.

        Finished: trained and scored on every task. Running: some process works on it, whoever started it. For a cell that has a
        Slurm job, queued and running follow from the job's files; whether the job still exists, only Slurm knows.
        """
        # First, because the files of a job are still there when the executor asks whether the job has scored its cell.
        if self._is_scored():
            return "finished"
        if JobLock.read(self.folder) is not None:
            return "queued" if last_heartbeat(self.folder) is None else "running"
        # The cell's lock is held by a process that `ablate` started, the run's lock by any process that trains or scores it.
        if is_locked(self.folder / LOCK) or is_locked(self.run / LOCK):
            return "running"
        return "failed" if (self.folder / FAILED).exists() else "missing"

    def check_same_recipe(self, components: Components) -> None:
        """Raise FindnaError where the cell was started with another recipe."""
        path = self.folder / RECIPE
        # Equal text needs no parsing, which would load the plugins' components for every cell.
        if not path.exists() or path.read_text() == self.cell.recipe.dump():
            return
        if differences := diff(load_recipe(path.absolute(), components), self.cell.recipe):
            message = f"{path}: this cell was started with another recipe; take another --out, or undo these changes:"
            raise FindnaError("\n  ".join([message, *differences.values()]))

    def prepare(self) -> None:
        """Write the cell's recipe, and remove what an earlier failure or job left.

        The run itself stays: its checkpoints are what the cell is resumed from.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.folder / RECIPE) as temporary:
            temporary.write_text(self.cell.recipe.dump())
        (self.folder / FAILED).unlink(missing_ok=True)
        remove_job_files(self.folder)

    @contextmanager
    def lock_descriptor(self) -> Iterator[int]:
        """Yield a locked file descriptor: the cell counts as running for as long as any process has it open.

        The cell's process inherits it and holds it from its first moment to its last. The run's own lock would not do: it is
        taken only after all imports, and released before the run is scored.
        """
        descriptor = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT)
        try:
            # flock and not lockf: the lock belongs to the open file, so a child that inherits the descriptor keeps it
            # after this process has closed its own.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def record_exit(self, code: int) -> str | None:
        """Record why the run failed, from its exit code; return the signal's name if one stopped or killed it."""
        if code < 0:  # as subprocess reports a process that a signal killed
            return signal.Signals(-code).name
        if code - 128 in _STOP_SIGNALS:
            return signal.Signals(code - 128).name
        # A run can fail after its last score was written, for example while it exits; the cell is finished all the same.
        if self.state() != "finished":
            lines = (self.folder / LOG).read_text(errors="replace").strip().splitlines() or ["the log is empty"]
            self.record_failure(f"exit code {code}: {lines[-1]}")
        return None

    def record_failure(self, reason: str) -> None:
        """Write the reason of a failure next to the log."""
        FailureRecord(reason=reason).write(self.folder / FAILED)

    def failure_reason(self) -> str:
        """Return why the cell failed."""
        return read_model(FailureRecord, self.folder / FAILED).reason

    def score(self, task: str, protocol: str, score: str) -> dict[ContenderName, float]:
        """Return the score of the encoder and of each control, by their names in evaluation.json."""
        contenders = self._results()[task].protocols[protocol].contenders()
        return {name: contender.score(score).value for name, contender in contenders.items()}

    def _is_scored(self) -> bool:
        """Return whether the run is trained, and scored by all protocols of its recipe on all tasks of the study."""
        if read_run_json(self.run).status != "finished":
            return False
        results, protocols = self._results(), self.cell.recipe.evaluation.protocols
        return all(task in results and set(protocols) <= set(results[task].protocols) for task in self.tasks)

    def _results(self) -> dict[str, TaskResult]:
        return read_evaluation(self.run, "remove it, and call ablate again")


def cell_folders(cells: Sequence[StudyCell], study_folder: Path, tasks: Mapping[str, str]) -> list[CellFolder]:
    """Return the folder of every cell in a study's folder."""
    return [CellFolder(cell, study_folder / cell.relative_path, tasks) for cell in cells]


def condition_scores(study: Study, folders: Sequence[CellFolder], condition: str) -> NDArray[np.float64]:
    """Return the encoder's scores [seeds, tasks] of one condition, whose cells must all be finished.

    Rows follow the study's order of seeds. Raises FindnaError for a score that is not finite.
    """
    by_seed = {folder.cell.seed: folder for folder in folders if folder.cell.condition == condition}
    scores = np.array(
        [
            [by_seed[seed].score(task, study.protocol, study.score)["encoder"] for task in by_seed[seed].tasks]
            for seed in study.every_seed
        ]
    )
    if not np.isfinite(scores).all():
        raise FindnaError(f"{condition}: {study.metric} of a seed is not a finite number; take another metric")
    return scores

"""A study's folder: what is finished, what failed and what is missing, told by the cells' own folders alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from filelock import FileLock, Timeout

from findna_kit.errors import FindnaError
from findna_kit.files import whole
from findna_kit.runs.folder import EVALUATION, LOCK, RECORD, read_by_task, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.ablation.study import Cell, Study

State = Literal["finished", "running", "failed", "missing"]
STUDY, FAILED, LOG, RECIPE = "study.json", "failed.json", "log.txt", "recipe.yaml"


@dataclass(frozen=True)
class CellFolder:
    """One cell on the disk: a folder for its recipe, log and failure, and in it the run's own, `run`."""

    cell: Cell
    folder: Path

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.folder / "run"

    def state(self) -> State:
        """Finished: trained and scored on every task. Running: some process holds the run's folder, on whichever machine."""
        if self._scored():
            return "finished"
        if self._held():
            return "running"
        return "failed" if (self.folder / FAILED).exists() else "missing"

    def prepare(self) -> None:
        """Writes the cell's recipe. FindnaError where another recipe lies there: the study has changed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path, text = self.folder / RECIPE, self.cell.recipe.dump()
        if path.exists() and path.read_text() != text:
            raise FindnaError(
                f"{path}: the study has changed since this cell was begun; take another --out, or remove the cell"
            )
        with whole(path) as beside:
            beside.write_text(text)
        (self.folder / FAILED).unlink(missing_ok=True)

    def fail(self, reason: str) -> None:
        """Keeps why it failed, beside its log."""
        write_json(self.folder / FAILED, {"reason": reason})

    def reason(self) -> str:
        """Why it failed."""
        return str(json.loads((self.folder / FAILED).read_text())["reason"])

    def score(self, task: str, protocol: str, score: str) -> dict[str, float]:
        """The encoder's score, and those of its controls, by who."""
        block = self._results()[task]["protocols"][protocol]
        return {who: row[score]["value"] for who, row in block.items() if who != "encoder_minus"}

    def _scored(self) -> bool:
        record = self.run / RECORD
        if not record.is_file() or json.loads(record.read_text()).get("status") != "finished":
            return False
        results, protocols = self._results(), self.cell.recipe.evaluation.protocols
        return all(set(protocols) <= set(results.get(task, {}).get("protocols", {})) for task in self.tasks())

    def tasks(self) -> tuple[str, ...]:
        """As evaluation.json names them."""
        return self.cell.recipe.evaluation.tasks

    def _results(self) -> dict[str, dict[str, Any]]:
        return read_by_task(self.run / EVALUATION, "and evaluate the run again")

    def _held(self) -> bool:
        if not self.run.is_dir():
            return False
        lock = FileLock(self.run / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return True
        lock.release()
        return False


def folders_of(cells: Sequence[Cell], out: Path) -> list[CellFolder]:
    """Every cell's folder in the study's."""
    return [CellFolder(cell, out / cell.place) for cell in cells]


def scores_of(study: Study, folders: Sequence[CellFolder], condition: str) -> NDArray[np.float64]:
    """The encoder's score [seeds, tasks] of one condition, seeds in the study's order. Every cell of it must be finished."""
    by_seed = {one.cell.seed: one for one in folders if one.cell.condition == condition}
    return np.array(
        [
            [by_seed[seed].score(task, study.protocol, study.score)["encoder"] for task in by_seed[seed].tasks()]
            for seed in study.every_seed
        ]
    )

"""Reading of run and study folders for a page, without plugins; which of the two a folder is follows from its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from findna_kit import checkpoint
from findna_kit.errors import FindnaError
from findna_kit.metrics.readers import newest_rows
from findna_kit.recipe.yaml_nodes import read_plain, read_text
from findna_kit.records.audit_json import read_audits
from findna_kit.records.evaluation_json import read_evaluation
from findna_kit.records.paths import LOCK, RECIPE, RUN_JSON
from findna_kit.records.run_json import read_run_json
from findna_kit.records.run_status import KILLED, current_status, is_locked
from findna_kit.study.files import (
    FAILED,
    RESULT,
    SEARCH,
    STUDY,
    TRIAL,
    FailureRecord,
    SearchResult,
    StudyResult,
    TrialRecord,
    read_model,
)
from findna_kit.study.schema import Study

if TYPE_CHECKING:
    from pathlib import Path

    from findna_kit.records.audit_json import AuditReport
    from findna_kit.records.evaluation_json import TaskResult
    from findna_kit.records.run_json import RunJson


@dataclass(frozen=True)
class RunFolder:
    """A run's folder in any state. label: unique on the page. recorded: whether it has a run.json.

    All files but run.json are read when they are first used.
    """

    folder: Path
    label: str
    record: RunJson
    recorded: bool

    @cached_property
    def recipe_text(self) -> str | None:
        """Return the text of recipe.yaml, None where there is none."""
        path = self.folder / RECIPE
        return read_text(path, str(path), 0) if path.is_file() else None

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """Return the recipe as plain maps and lists, empty where there is none. Raises RecipeError for invalid YAML."""
        return {} if self.recipe_text is None else read_plain(self.folder / RECIPE)

    @cached_property
    def evaluation(self) -> dict[str, TaskResult]:
        """Return the results in evaluation.json by task, empty where the run was not evaluated."""
        return read_evaluation(self.folder, "remove it, and call `findna-kit evaluate` again")

    @cached_property
    def audits(self) -> dict[str, AuditReport]:
        """Return the audits in audit.json by task."""
        return read_audits(self.folder, "remove it, and call `findna-kit tasks audit` again")

    @cached_property
    def last_step(self) -> int | None:
        """Return the last step in metrics.jsonl, None where there is none."""
        try:
            return next((row["step"] for row in newest_rows(self.folder)), None)
        except OSError as error:
            raise FindnaError(f"{error.filename}: cannot be read: {error.strerror}") from error

    @cached_property
    def status(self) -> str:
        """Return the status in words, with the reason why the run ended."""
        if not self.recorded:
            return f"not recorded: there is no {RUN_JSON}"
        status = current_status(self.folder, self.record.status)
        if status == KILLED:
            return "recorded as running, but no process on this machine holds its lock: it was killed, or runs elsewhere"
        if status is None:
            return "imported" if self.record.imported else "not recorded"
        return f"{status}: {self.record.reason}" if self.record.reason else status


@dataclass(frozen=True)
class CellEntry:
    """A cell of a study. state: in words; run: None where the cell has no run yet."""

    condition: str
    seed: int
    state: str
    run: RunFolder | None


@dataclass(frozen=True)
class StudyFolder:
    """A study's folder.

    result: None until the study is finished. trials: of its search, those that have started. best_trial: number of the trial
    whose values every condition got; None until the search has ended.
    """

    folder: Path
    label: str
    study: Study
    cells: list[CellEntry] = field(default_factory=list)
    result: StudyResult | None = None
    trials: list[TrialRecord] = field(default_factory=list)
    best_trial: int | None = None

    def runs(self, condition: str) -> list[RunFolder]:
        """Return the runs of a condition, in the study's order of seeds."""
        return [cell.run for cell in self.cells if cell.condition == condition and cell.run is not None]


def read_folder(folder: Path, label: str) -> RunFolder | StudyFolder:
    """Return a run or a study. Raise FindnaError where the folder is neither, and for damaged files."""
    # is_dir() raises for paths that no file system accepts, for example with a name that is too long.
    try:
        exists = folder.is_dir()
    except OSError:
        exists = False
    if exists and (folder / STUDY).is_file():
        return _read_study(folder, label)
    # A run that was put together by hand may lack run.json; recipe and checkpoints are enough to show it.
    has_checkpoint = exists and (folder / RECIPE).is_file() and (folder / checkpoint.FOLDER).is_dir()
    if has_checkpoint or (exists and (folder / RUN_JSON).is_file()):
        return read_run(folder, label)
    problem = "neither a run's folder nor a study's" if exists else "is not a folder"
    hint = f"; the run of this cell is {folder / 'run'}" if exists and (folder / "run" / RUN_JSON).is_file() else ""
    raise FindnaError(f"{folder}: {problem}; give a folder that `run` or `ablate` made{hint}")


def read_run(folder: Path, label: str) -> RunFolder:
    """Return a run's folder."""
    return RunFolder(folder, label, read_run_json(folder), recorded=(folder / RUN_JSON).is_file())


def _read_study(folder: Path, label: str) -> StudyFolder:
    """Return a study with its cells, its search and, if it is finished, its result."""
    study = read_model(Study, folder / STUDY)
    cells = []
    for condition in study.conditions():
        for seed in study.every_seed:
            cell = folder / "cells" / condition / f"seed-{seed}"
            run = read_run(cell / "run", f"{condition}, seed {seed}") if (cell / "run" / RUN_JSON).is_file() else None
            cells.append(CellEntry(condition, seed, _cell_state(cell, run), run))
    path = folder / RESULT
    remedy = "run `findna-kit ablate` again, which writes it again"
    result = read_model(StudyResult, path, remedy) if path.is_file() else None
    return StudyFolder(folder, label, study, cells, result, *_read_search(folder / SEARCH))


def _read_search(folder: Path) -> tuple[list[TrialRecord], int | None]:
    """Return the trials in their order, and the number of the best one."""
    trials = sorted((read_model(TrialRecord, path) for path in folder.glob(f"*/{TRIAL}")), key=lambda trial: trial.number)
    path = folder / RESULT
    return trials, read_model(SearchResult, path).best if path.is_file() else None


def _cell_state(cell: Path, run: RunFolder | None) -> str:
    """Return the state of a cell in words."""
    # failed.json is removed before a cell is run again, so while it exists it is up to date.
    if (cell / FAILED).is_file():
        return f"failed: {read_model(FailureRecord, cell / FAILED).reason}"
    if run is None:
        return "running" if is_locked(cell / LOCK) else "not started"
    if run.record.status == "finished" and not run.evaluation:
        return "trained, not scored yet"
    return run.status

"""Folders as a page needs them: a run, or a study with its cells; read without a plugin, and told apart by what they hold."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from findna_kit import checkpoint
from findna_kit.errors import FindnaError
from findna_kit.metrics.readers import newest_rows
from findna_kit.recipe.yaml_nodes import read_plain, read_text
from findna_kit.records.audit_json import read_audits
from findna_kit.records.evaluation_json import read_evaluation
from findna_kit.records.paths import LOCK, RECIPE, RUN_JSON
from findna_kit.records.run_json import RunJson, read_run_json
from findna_kit.records.run_status import KILLED, current_status, is_locked
from findna_kit.study.cells import FAILED, STUDY
from findna_kit.study.run import RESULT
from findna_kit.study.schema import Study
from findna_kit.study.search import FOLDER as SEARCH
from findna_kit.study.search import RESULT as SEARCHED
from findna_kit.study.search import TRIAL

if TYPE_CHECKING:
    from pathlib import Path

    from findna_kit.records.audit_json import AuditReport
    from findna_kit.records.evaluation_json import TaskResult

Kept = TypeVar("Kept", bound=BaseModel)


class _Kept(BaseModel):
    """Part of a file that another command wrote: what a page shows of it, and no more."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Trial(_Kept):
    """trial.json of a study's search. state: None until it has ended; value: of the metric that chooses."""

    number: int
    values: dict[str, Any]
    state: str | None = None
    value: float | None = None
    reason: str | None = None


class _Searched(_Kept):
    """result.json of a study's search."""

    best: int


@dataclass(frozen=True)
class Run:
    """A run's folder, whatever state it is in. label: what it is called on the page, unlike any other there."""

    folder: Path
    label: str
    record: RunJson
    recorded: bool
    """Whether there is a run.json."""

    @cached_property
    def recipe_text(self) -> str | None:
        """recipe.yaml as it stands there; None where there is none."""
        path = self.folder / RECIPE
        return read_text(path, str(path), 0) if path.is_file() else None

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """The recipe as plain maps and lists, empty where there is none. RecipeError where it is no YAML."""
        return {} if self.recipe_text is None else read_plain(self.folder / RECIPE)

    @cached_property
    def evaluation(self) -> dict[str, TaskResult]:
        """Return the results of evaluation.json by task; empty if the run was not evaluated."""
        return read_evaluation(self.folder, "remove it, and call `findna-kit evaluate` again")

    @cached_property
    def audits(self) -> dict[str, AuditReport]:
        """Return the reports of audit.json by task."""
        return read_audits(self.folder, "remove it, and call `findna-kit tasks audit` again")

    @cached_property
    def last_step(self) -> int | None:
        """The last one that is in metrics.jsonl."""
        try:
            return next((row["step"] for row in newest_rows(self.folder)), None)
        except OSError as error:
            raise FindnaError(f"{error.filename}: cannot be read: {error.strerror}") from error

    @cached_property
    def status(self) -> str:
        """In words, with what ended it."""
        if not self.recorded:
            return f"not recorded: there is no {RUN_JSON}"
        status = current_status(self.folder, self.record.status)
        if status == KILLED:
            return "says running, but no process here holds the folder: it was killed, or runs on another machine"
        if status is None:
            return "imported" if self.record.imported else "not recorded"
        return f"{status}: {self.record.reason}" if self.record.reason else status


@dataclass(frozen=True)
class CellOf:
    """One cell of a study. state: in words; run: None where there is no run's folder yet."""

    condition: str
    seed: int
    state: str
    run: Run | None


@dataclass(frozen=True)
class StudyFolder:
    """A study's folder. result: what `ablate` wrote at the end, None before; trials: of its search, those that have begun.

    taken: the number of the trial whose values every condition got, None before the search has ended.
    """

    folder: Path
    label: str
    study: Study
    cells: list[CellOf] = field(default_factory=list)
    result: dict[str, Any] | None = None
    trials: list[Trial] = field(default_factory=list)
    taken: int | None = None

    def runs(self, condition: str) -> list[Run]:
        """Those that a condition has, by the study's order of seeds."""
        return [cell.run for cell in self.cells if cell.condition == condition and cell.run is not None]


def read_folder(folder: Path, label: str) -> Run | StudyFolder:
    """A run or a study. FindnaError where it is neither, and for a file in it that is damaged."""
    try:
        there = folder.is_dir()
    except OSError:
        there = False
    if there and (folder / STUDY).is_file():
        return _study(folder, label)
    if there and ((folder / RUN_JSON).is_file() or ((folder / RECIPE).is_file() and (folder / checkpoint.FOLDER).is_dir())):
        return read_run(folder, label)
    what = "neither a run's folder nor a study's" if there else "is no folder"
    hint = f"; the run of this cell is {folder / 'run'}" if there and (folder / "run" / RUN_JSON).is_file() else ""
    raise FindnaError(f"{folder}: {what}; give what `run` or `ablate` made{hint}")


def read_run(folder: Path, label: str) -> Run:
    """A run's folder; most of it is read when it is asked for."""
    return Run(folder, label, read_run_json(folder), recorded=(folder / RUN_JSON).is_file())


def _study(folder: Path, label: str) -> StudyFolder:
    study = _checked(Study, folder / STUDY)
    cells = []
    for condition in study.conditions():
        for seed in study.every_seed:
            own = folder / "cells" / condition / f"seed-{seed}"
            run = read_run(own / "run", f"{condition}, seed {seed}") if (own / "run" / RUN_JSON).is_file() else None
            cells.append(CellOf(condition, seed, _state(own, run), run))
    path = folder / f"{RESULT}.json"
    result = _json(path) if path.is_file() else None
    if result is not None and not isinstance(result, dict):
        raise FindnaError(f"{path}: is not what `ablate` writes; call it again, which makes it anew")
    return StudyFolder(folder, label, study, cells, result, *_searched(folder / SEARCH))


def _searched(folder: Path) -> tuple[list[Trial], int | None]:
    """The trials in their order, and which was taken."""
    trials = sorted((_checked(Trial, path) for path in folder.glob(f"*/{TRIAL}")), key=lambda one: one.number)
    ended = folder / SEARCHED
    return trials, _checked(_Searched, ended).best if ended.is_file() else None


def _state(own: Path, run: Run | None) -> str:
    if (own / FAILED).is_file():
        told = _json(own / FAILED)
        return f"failed: {told.get('reason') if isinstance(told, dict) else told}"
    if run is None:
        return "running" if is_locked(own / LOCK) else "not begun"
    if run.record.status == "finished" and not run.evaluation:
        return "trained, not scored yet"
    return run.status


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FindnaError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise FindnaError(f"{path}: is no JSON ({error}); restore it from a copy") from error


def _checked(kind: type[Kept], path: Path) -> Kept:
    try:
        return kind.model_validate(_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        wrong = f"{where or 'all of it'}: {first['msg']}"
        raise FindnaError(f"{path}: is not what this version of the kit writes ({wrong}); restore it from a copy") from error

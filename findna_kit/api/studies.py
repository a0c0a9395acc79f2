"""Ablation studies from Python: `findna_kit.ablate`, and the call that the command `ablate` shares with it."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from findna_kit.api import preparation
from findna_kit.api.frames import frame_of, require_pandas
from findna_kit.api.study_progress import StudyProgress, counts_text
from findna_kit.api.terminal import log
from findna_kit.errors import FindnaError
from findna_kit.plugins.loading import load_plugins
from findna_kit.study import run as studies
from findna_kit.study.executors.local import ExecutionOptions, LocalExecutor
from findna_kit.study.executors.slurm import SlurmExecutor
from findna_kit.study.executors.slurm_options import read_settings
from findna_kit.study.tables import COLUMNS, as_csv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pandas import DataFrame

    from findna_kit.plugins.registry import Components
    from findna_kit.recipe import Recipe
    from findna_kit.study.files import StudyResult
    from findna_kit.study.run import AblationState, Executor

ExecutorName = Literal["local", "slurm"]
_TEXT = ("kind", "name", "task", "verdict")
"""Columns of result.csv that hold text; the others hold numbers."""


@dataclass(frozen=True)
class StudyFrames:
    """The state of a study after `ablate`, as DataFrames. Those of results raise FindnaError while cells are missing."""

    state: AblationState

    @property
    def folder(self) -> Path:
        """Return the folder of the study."""
        return self.state.folder

    @property
    def result(self) -> StudyResult:
        """Return the content of result.json. Raises FindnaError, which names what is missing."""
        if self.state.result is None:
            failed = "".join(f"\n  {cell}: {reason}" for cell, reason in self.state.failed.items())
            raise FindnaError(
                f"{self.folder}: has no result yet: {counts_text(self.state.states)}; the same call runs cells that are "
                f"missing, and retry=True those that failed{failed}"
            )
        return self.state.result

    @property
    def cells(self) -> DataFrame:
        """Return each cell with its state and, if it failed or was ended, the reason."""
        reasons = {**self.state.killed, **self.state.failed}
        rows = [{"cell": cell, "state": name, "reason": reasons.get(cell)} for cell, name in self.state.states.items()]
        return frame_of(rows, ("cell", "state", "reason"), "ablate")

    @property
    def conditions(self) -> DataFrame:
        """Return a row for each condition over all tasks (`task` is empty) and for each task.

        `mean` is over seeds; `difference` is paired by seed, to the first condition, with its interval, p and verdict.
        """
        return self._rows("condition")

    @property
    def main_effects(self) -> DataFrame:
        """Return the main effects of a factorial study, in the columns of `conditions`."""
        return self._rows("main effect")

    @property
    def controls(self) -> DataFrame:
        """Return the controls of the first condition, in the columns of `conditions`."""
        return self._rows("control")

    def _rows(self, kind: str) -> DataFrame:
        # The rows of result.csv, so that a table has the same numbers wherever it is read.
        rows = csv.DictReader(io.StringIO(as_csv(self.result)))
        values = [{name: _cell(name, text) for name, text in row.items()} for row in rows if row["kind"] == kind]
        return frame_of(values, COLUMNS[1:], "ablate")

    def _repr_html_(self) -> str:
        frame = self.cells if self.state.result is None else self.conditions
        return str(frame.to_html(max_rows=60))


def _cell(column: str, text: str) -> str | float | None:
    return text if column in _TEXT else float(text) if text else None


def ablate(
    study: str | Path, out: str | Path | None = None, *, executor: ExecutorName = "local", jobs: int = 1,
    slurm: Mapping[str, Any] | None = None, device: str = "auto", retry: bool = False, without: Sequence[str] = (),
) -> StudyFrames:  # fmt: skip
    """Run the missing cells of an ablation study and return its tables; `findna-kit ablate` does the same.

    study: a path, or the name of a shipped study. The arguments are the options of the command. Finished cells are kept.
    Raises FindnaError for a study that cannot be run; Interrupted, after which the same call continues. Needs pandas.
    """
    require_pandas("ablate")  # before hours of training
    settings = [f"{key}={value}" for key, value in (slurm or {}).items()]
    options = ExecutionOptions(jobs, device, tuple(without), retry)
    selected = executor_of(executor, settings)
    return StudyFrames(run_study(str(study), None if out is None else Path(out), options, selected))


def run_study(study: str, out: Path | None, options: ExecutionOptions, executor: Executor) -> AblationState:
    """Run the missing cells of a study, and show the states of its cells meanwhile. Raises as `study.run.ablate` does."""
    components, plugins = load_plugins(options.without)
    with StudyProgress() as show:
        return studies.ablate(
            study, out, options, components=components, plugins=plugins, executor=executor,
            observer=studies.StudyObserver(log, show, partial(_check_cell, components)),
        )  # fmt: skip


def _check_cell(components: Components, recipe: Recipe) -> None:
    """Check a condition as `findna-kit check` does. Raises FindnaError also for what the process of a cell would not have."""
    for kind, name in recipe.used():
        if any(owner.is_session for owner in components.of(kind).owners(name)):
            raise FindnaError(
                f"{kind} {name!r} was registered in this session, and each cell of a study runs in its own process: put it "
                "into a plugin package, which `findna-kit plugins new` creates, and install that"
            )
    preparation.dry_assemble(recipe)


def executor_of(name: str, settings: Sequence[str]) -> Executor:
    """Return the executor. Raises FindnaError if it is not available or does not have these settings."""
    if name == "slurm":
        return SlurmExecutor(read_settings(settings), log)
    if name != "local":
        raise FindnaError(f"executor {name!r}: must be local or slurm")
    if settings:
        raise FindnaError("--slurm is for --executor slurm")
    return LocalExecutor()

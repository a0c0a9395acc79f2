"""Hyperparameter search of a study: trials in its folder, each a run like a cell's, and the best values for every condition."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError, nearest, require_extra
from findna_kit.metrics.names import MetricKind, parse
from findna_kit.metrics.readers import newest_rows
from findna_kit.study.cells import CellFolder
from findna_kit.study.files import RESULT, SEARCH, TRIAL, SearchResult, TrialRecord, read_model
from findna_kit.study.load import build_cells, condition_recipe, with_values
from findna_kit.study.sampler import propose
from findna_kit.study.schema import StudyCell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.recipe import Recipe
    from findna_kit.study.load import LoadedStudy
    from findna_kit.study.search_space import Search


@dataclass(frozen=True)
class TrialCell(StudyCell):
    """A run of the study's first condition with values of the search. It is not scored on any task."""

    number: int = 0

    @property
    def relative_path(self) -> str:
        """Return the path of the trial's folder in the study's folder."""
        return f"{SEARCH}/trial-{self.number}"


@dataclass
class SearchProgress:
    """Outcome of a call of `Searcher.run`.

    result: None while trials are missing. states: of the unfinished batch's trials, by path. killed: the signal that ended a
    trial in this call.
    """

    result: SearchResult | None
    states: dict[str, str] = field(default_factory=dict)
    killed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Searcher:
    """The search of one study in its folder.

    check: validates a recipe and raises FindnaError. log: receives sentences about the progress.
    """

    loaded: LoadedStudy
    folder: Path
    components: Components
    failed: Sequence[Plugin]
    check: Callable[[Recipe], object]
    log: Callable[[str], None]
    search: Search

    def validated_cells(self) -> list[StudyCell]:
        """Return every cell with values from the middle of the search space, so that problems show before anything starts.

        Raises FindnaError for a problem in any condition, for a metric of a loss that the first condition does not have, and
        where optuna is needed and not installed.
        """
        # A search that has proposed all of its trials can be completed without optuna.
        trial_files = [self._trial_path(number, TRIAL) for number in range(self.search.count)]
        if self.search.sampler != "grid" and not all(path.is_file() for path in trial_files):
            require_extra("optuna", "search", "a study's search")
        cells = build_cells(with_values(self.loaded, self.search.midpoint), self.components, self.failed, self.check)
        # A wrong label would otherwise show only after the first trial was trained: it would have no value of the metric.
        metric = parse(self.search.metric)
        label, losses = metric.source, cells[0].recipe.losses
        if metric.kind is not MetricKind.COLLAPSE and label not in losses:
            known = ", ".join(losses) or "none"
            raise FindnaError(
                f"search.metric: {self.search.metric}: the first condition has no loss {label!r}"
                f"{nearest(label, losses)} (known: {known})"
            )
        return cells

    def run(self, run_cells: Callable[[Sequence[CellFolder]], dict[str, str]]) -> SearchProgress:
        """Run the missing trials, batch by batch. A failed trial is recorded as failed, and the search continues.

        run_cells: runs trials and returns the signals that killed some, by their paths.
        """
        ended = list[TrialRecord]()
        for first in range(0, self.search.count, self.search.batch):
            numbers = range(first, min(first + self.search.batch, self.search.count))
            # All trials of a batch are proposed from the results before it, so that they can run at the same time.
            batch = [self._load_or_propose(number, ended) for number in numbers]
            # A trial that has a state has ended already, in an earlier call or because its recipe is not valid.
            folders = {trial.number: self._trial_folder(trial) for trial in batch if trial.state is None}
            unfinished = [folder for folder in folders.values() if folder.state() in ("missing", "queued", "running")]
            killed = run_cells(unfinished) if folders else {}
            states: dict[str, str] = {folder.cell.relative_path: folder.state() for folder in folders.values()}
            if any(state not in ("finished", "failed") for state in states.values()):
                return SearchProgress(None, states, killed)
            ended += [self._record_end(trial, folders.get(trial.number)) for trial in batch]
        return SearchProgress(self._choose_best(ended))

    def _trial_path(self, number: int, *names: str) -> Path:
        return self.folder.joinpath(SEARCH, f"trial-{number}", *names)

    def _load_or_propose(self, number: int, ended: Sequence[TrialRecord]) -> TrialRecord:
        """Return a trial from its file, or propose and write it. Values that the first condition refuses count as failed."""
        path = self._trial_path(number, TRIAL)
        if path.is_file():
            return read_model(TrialRecord, path)
        sampled = propose(self.search, number, [(trial.drawn, trial.value) for trial in ended])
        trial = TrialRecord(number=number, drawn=sampled, values=self.search.values(sampled))
        try:
            build_cells(with_values(self.loaded, trial.values), self.components, self.failed, self.check)
        except FindnaError as error:
            trial = trial.ended(state="failed", value=None, reason=str(error))
            self.log(f"{SEARCH}/trial-{number}: {error}")
        # Written before the trial runs: a later call reads these values, and needs neither optuna nor the results before them.
        path.parent.mkdir(parents=True, exist_ok=True)
        trial.write(path)
        return trial

    def _trial_folder(self, trial: TrialRecord) -> CellFolder:
        """Return the folder of a trial's run. Raise FindnaError where it was started with another recipe."""
        condition = next(iter(self.loaded.study.conditions()))
        recipe = condition_recipe(with_values(self.loaded, trial.values), condition, self.components, self.failed)
        # No task: a search must not see the scores that the study is judged by.
        evaluation = recipe.evaluation.model_copy(update={"tasks": (), "every": None})
        changed = {"name": f"trial-{trial.number}", "seed": self.search.seed, "evaluation": evaluation}
        cell = TrialCell(condition, self.search.seed, recipe.model_copy(update=changed), trial.number)
        folder = CellFolder(cell, self.folder / cell.relative_path, {})
        folder.check_same_recipe(self.components)
        return folder

    def _record_end(self, trial: TrialRecord, folder: CellFolder | None) -> TrialRecord:
        """Return the trial with its final state and the last value of the metric, and write it to its file."""
        if folder is None:
            return trial
        metric = self.search.metric
        if folder.state() == "failed":
            trial = trial.ended(state="failed", value=None, reason=folder.failure_reason())
        elif (value := next((row[metric] for row in newest_rows(folder.run, metric)), None)) is not None:
            trial = trial.ended(state="finished", value=value)
        else:
            trial = trial.ended(state="failed", value=None, reason=f"{metric}: the last value is not a number")
        if trial.state == "failed":
            self.log(f"{folder.cell.relative_path}: {trial.reason}; the search continues without it")
        trial.write(folder.folder / TRIAL)
        return trial

    def _choose_best(self, trials: Sequence[TrialRecord]) -> SearchResult:
        """Write and return the values of the best trial; of equal ones, the first. Raise FindnaError where all failed."""
        criterion, search = self.search.criterion, self.search
        scored = [(trial, trial.value) for trial in trials if trial.state == "finished" and trial.value is not None]
        if not scored:
            raise FindnaError(
                f"search: all {len(trials)} trials failed, the first because: {trials[0].reason}; "
                "correct the study, and take another --out"
            )
        best, best_value = min(scored, key=lambda pair: criterion.better(pair[1]))
        values = ", ".join(f"{path} {json.dumps(value)}" for path, value in best.values.items())
        words = f"{values}: the best of {len(trials)} trials by {criterion.words}, seed {search.seed}, sampler {search.sampler}"
        self.log(f"search: every condition gets {words}; its value was {best_value:.6g}")
        result = SearchResult(
            metric=criterion.metric, maximise=criterion.maximise, values=best.values, best=best.number, words=words,
            trials=list(trials),
        )  # fmt: skip
        result.write(self.folder / SEARCH / RESULT)
        return result

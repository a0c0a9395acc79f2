"""The search of a study: trials in its folder, each a run like a cell's, and the values that every condition gets of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from findna_kit.errors import FindnaError, nearest, require_extra
from findna_kit.metrics.readers import newest_rows
from findna_kit.records.json_files import write_json
from findna_kit.study.cells import CellFolder
from findna_kit.study.load import cells_of, recipe_of, with_values
from findna_kit.study.sampler import propose
from findna_kit.study.schema import Cell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.recipe import Recipe
    from findna_kit.study.load import Stated
    from findna_kit.study.search_space import Search

FOLDER, TRIAL, RESULT = "search", "trial.json", "result.json"


@dataclass(frozen=True)
class Trial(Cell):
    """A run of the study's first condition with values of the search; scored on no task."""

    number: int = 0

    @property
    def place(self) -> str:
        """Its folder's path in the study's."""
        return f"{FOLDER}/trial-{self.number}"


@dataclass
class Searched:
    """What a search has come to. result: None where trials are missing, whose states and killers are told."""

    result: dict[str, Any] | None
    states: dict[str, str] = field(default_factory=dict)
    killed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Searcher:
    """The search of one study in its folder."""

    stated: Stated
    out: Path
    components: Components
    failed: Sequence[Plugin]
    check: Callable[[Recipe], object]
    say: Callable[[str], None]

    @property
    def search(self) -> Search:
        """As the study states it."""
        assert self.stated.study.search is not None
        return self.stated.study.search

    def refuse(self) -> list[Cell]:
        """Every cell with values that could be drawn: nothing is begun that these would stop.

        FindnaError for what is wrong with a condition, for a metric of a loss that no condition begins with, and for a missing
        package where there is something to propose.
        """
        drawn = [self._path(number, TRIAL) for number in range(self.search.count)]
        if self.search.sampler != "grid" and not all(path.is_file() for path in drawn):
            require_extra("optuna", "search", "a study's search")
        cells = cells_of(with_values(self.stated, self.search.middle), self.components, self.failed, self.check)
        kind, label, *_ = self.search.metric.split("/")
        losses = cells[0].recipe.losses
        if kind != "collapse" and label not in losses:
            known = ", ".join(losses) or "none"
            raise FindnaError(
                f"search.metric: {self.search.metric}: the first condition has no loss {label!r}"
                f"{nearest(label, losses)} (known: {known})"
            )
        return cells

    def find(self, run: Callable[[Sequence[CellFolder]], dict[str, str]]) -> Searched:
        """Runs the trials that are missing, a batch after the other; a trial that failed is told as such, and kept."""
        told = list[dict[str, Any]]()
        for first in range(0, self.search.count, self.search.batch):
            numbers = range(first, min(first + self.search.batch, self.search.count))
            batch = [self._begun(number, told) for number in numbers]
            folders = {
                number: self._folder(number, one) for number, one in zip(numbers, batch, strict=True) if "state" not in one
            }
            killed = (
                run([one for one in folders.values() if one.state() in ("missing", "queued", "running")]) if folders else {}
            )
            states: dict[str, str] = {one.cell.place: one.state() for one in folders.values()}
            if any(state not in ("finished", "failed") for state in states.values()):
                return Searched(None, states, killed)
            told += [self._ended(one, folders.get(number)) for number, one in zip(numbers, batch, strict=True)]
        return Searched(self._result(told))

    def _path(self, number: int, *names: str) -> Path:
        return self.out.joinpath(FOLDER, f"trial-{number}", *names)

    def _begun(self, number: int, told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What stands in its file, which is written where there is none; values that a condition refuses have failed."""
        path = self._path(number, TRIAL)
        if path.is_file():
            kept: dict[str, Any] = json.loads(path.read_text())
            return kept
        drawn = propose(self.search, number, [(one["drawn"], one["value"]) for one in told])
        one: dict[str, Any] = {"number": number, "drawn": drawn, "values": self.search.values(drawn)}
        try:
            cells_of(with_values(self.stated, one["values"]), self.components, self.failed, self.check)
        except FindnaError as error:
            one |= {"state": "failed", "value": None, "reason": str(error)}
            self.say(f"{FOLDER}/trial-{number}: {error}")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, one)
        return one

    def _folder(self, number: int, one: Mapping[str, Any]) -> CellFolder:
        condition = next(iter(self.stated.study.conditions()))
        recipe = recipe_of(with_values(self.stated, one["values"]), condition, self.components, self.failed)
        evaluation = recipe.evaluation.model_copy(update={"tasks": (), "every": None})
        changed = {"name": f"trial-{number}", "seed": self.search.seed, "evaluation": evaluation}
        trial = Trial(condition, self.search.seed, recipe.model_copy(update=changed), number)
        folder = CellFolder(trial, self.out / trial.place, {})
        folder.refuse_another(self.components)
        return folder

    def _ended(self, one: dict[str, Any], folder: CellFolder | None) -> dict[str, Any]:
        """With its state, and the newest value of the metric."""
        if folder is None:
            return one
        if folder.state() == "failed":
            end = {"state": "failed", "value": None, "reason": folder.reason()}
        else:
            metric = self.search.metric
            value = next((row[metric] for row in newest_rows(folder.run, metric)), None)
            why = f"{metric}: its newest value is no number"
            end = (
                {"state": "finished", "value": value}
                if value is not None
                else {"state": "failed", "value": None, "reason": why}
            )
        if end["state"] == "failed":
            self.say(f"{folder.cell.place}: {end['reason']}; the search goes on without it")
        one |= end
        write_json(folder.folder / TRIAL, one)
        return one

    def _result(self, told: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The values of the best trial, the first of several. FindnaError where none has a number."""
        by, search = self.search.by, self.search
        ended = [one for one in told if one["state"] == "finished"]
        if not ended:
            raise FindnaError(
                f"search: none of the {len(told)} trials has come to a number, the first because: {told[0]['reason']}; "
                "mend the study, and take another --out"
            )
        best = min(ended, key=lambda one: by.better(one["value"]))
        values = ", ".join(f"{path} {json.dumps(value)}" for path, value in best["values"].items())
        words = f"{values}: the best of {len(told)} trials by {by.words}, seed {search.seed}, sampler {search.sampler}"
        self.say(f"search: every condition gets {words}; it came to {best['value']:.6g}")
        result = {
            "metric": by.metric,
            "maximise": by.maximise,
            "values": best["values"],
            "best": best["number"],
            "words": words,
        }
        result |= {"trials": list(told)}
        write_json(self.out / FOLDER / RESULT, result)
        return result

"""Typed models of the JSON files in a study's folder, and their reading and writing.

study.json is `findna_kit.study.schema.Study`; job.json and ended.json are in `findna_kit.study.job_lock`, which jobs on other
nodes import. All other files are here. Keys and bytes are those of version 0.1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping  # noqa: TC003 - pydantic reads it
from pathlib import Path  # noqa: TC003 - pydantic reads annotations of this module
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from findna_kit.errors import FindnaError
from findna_kit.records.json_files import write_json
from findna_kit.study.statistics import Effect, MeanInterval  # noqa: TC001 - pydantic reads it

STUDY, RESULT, STEPS, FAILED = "study.json", "result.json", "steps.json", "failed.json"
SEARCH, TRIAL = "search", "trial.json"
"""Folder of a study's search, and the file of each trial in it. The result of a search is search/result.json."""
Number = int | float
"""An integer stays an integer in the file, which `float` would not guarantee."""
Model = TypeVar("Model", bound=BaseModel)


class StudyFile(BaseModel):
    """Base of the files' models: immutable, and unknown keys (of a later version) are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def plain(self) -> dict[str, Any]:
        """Return the content for JSON. Optional keys that were never set are left out."""
        return self.model_dump(exclude_unset=True)

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        write_json(path, self.plain())


class SeedScores(StudyFile):
    """Scores of one condition on one task: the mean with its interval, and the score of each seed."""

    mean: MeanInterval
    each: list[float]


class ConditionResult(StudyFile):
    """Result of one condition. Its effect is relative to the first condition, which therefore has none."""

    levels: dict[str, str]
    steps: int
    scores: dict[str, SeedScores]
    controls: dict[str, dict[str, MeanInterval]]
    effect: Effect | None = None


class MainEffect(StudyFile):
    """Effect of a level minus the first level of its factor, averaged over all other factors."""

    factor: str
    level: str
    minus: str
    effect: Effect

    @property
    def label(self) -> str:
        """Return the name of the effect in tables."""
        return f"{self.factor}: {self.level} minus {self.minus}"


class MainEffects(StudyFile):
    """Main effects of a factorial study, which are a family of their own."""

    smallest_p: float
    levels: list[MainEffect]


class IntervalMethod(StudyFile):
    """Confidence level of the intervals and how they were computed."""

    level: float
    method: str


class TrialRecord(StudyFile):
    """Content of trial.json, one trial of a study's search.

    drawn: the sampler's numbers by recipe path. values: what the recipe got. state: None until the trial has ended. value: the
    metric that the search optimises. reason: why the trial failed.
    """

    number: int
    drawn: dict[str, Number] = Field(default_factory=dict)
    values: dict[str, JsonValue]
    state: str | None = None
    value: Number | None = None
    reason: str | None = None

    def ended(self, **values: str | Number | None) -> TrialRecord:
        """Return the record with its final state."""
        return TrialRecord.model_validate({**self.plain(), **values})


class SearchResult(StudyFile):
    """Content of search/result.json: the values that every condition gets, and all trials."""

    metric: str
    maximise: bool
    values: dict[str, JsonValue]
    best: int
    words: str
    trials: list[TrialRecord]


class StudyResult(StudyFile):
    """Content of a study's result.json.

    study: the declared study, as in study.json. tasks: paths by the name used in tables. main_effects: of factorial studies.
    search: of studies with a search. failed: conditions that are not compared because cells of them failed, with the reason.
    """

    study: dict[str, JsonValue]
    tasks: dict[str, str]
    seeds: list[int]
    interval: IntervalMethod
    test: str
    smallest_p: float
    conditions: dict[str, ConditionResult]
    main_effects: MainEffects | None = None
    search: SearchResult | None = None
    failed: dict[str, str] | None = None

    @property
    def name(self) -> str:
        """Return the study's name."""
        return str(self.study["name"])

    @property
    def metric(self) -> str:
        """Return the metric that the study was declared to be judged by, as protocol/score."""
        return str(self.study["metric"])

    @property
    def correction(self) -> str:
        """Return the name of the correction for multiple comparisons."""
        return str(self.study["correction"])

    @property
    def effects(self) -> dict[str, Effect]:
        """Return the effect of every condition but the first."""
        return {name: condition.effect for name, condition in self.conditions.items() if condition.effect is not None}

    @property
    def controls(self) -> Mapping[str, Mapping[str, MeanInterval]]:
        """Return the controls of the first condition, by control and task."""
        return next(iter(self.conditions.values())).controls


class ConditionSteps(StudyFile):
    """Steps of one condition in steps.json.

    recipe: digest of the recipe without its steps. flops_per_step: for a budget of FLOPs. The seconds and the number of threads
    are measurements, for a budget of seconds.
    """

    steps: int
    recipe: str
    flops_per_step: int | None = None
    step_seconds: float | None = None
    look_seconds: float | None = None
    task_look_seconds: float | None = None
    checkpoint_seconds: float | None = None
    threads: int | None = None


class StepsRecord(StudyFile):
    """Content of steps.json: the budget, the steps it gives each condition and, if measured, on which machine."""

    budget: dict[str, Number]
    conditions: dict[str, ConditionSteps]
    machine: str | None = None
    processor: str | None = None
    torch: str | None = None


class FailureRecord(StudyFile):
    """Content of a cell's failed.json."""

    reason: str


def read_json(path: Path) -> JsonValue:
    """Return the content of a JSON file. Raise FindnaError where it cannot be read or is damaged."""
    try:
        content: JsonValue = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FindnaError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise FindnaError(f"{path}: not valid JSON ({error}); restore it from a copy") from error
    return content


def read_model(model: type[Model], path: Path, remedy: str = "restore it from a copy") -> Model:
    """Return a file as its model. Raise FindnaError, with the first key that is wrong, where it does not fit.

    remedy: tells the user what to do about a damaged file.
    """
    content = read_json(path)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the whole file"
        raise FindnaError(f"{path}: unexpected content ({key}: {first['msg']}); {remedy}") from error

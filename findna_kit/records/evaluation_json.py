"""The typed model of evaluation.json: for each task the scores of a run's encoder and of its controls, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from pydantic import Field, JsonValue

from findna_kit.records.json_files import JsonModel, read_entries, validate
from findna_kit.records.paths import EVALUATION_JSON

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ContenderName = Literal["encoder", "random_init", "shuffled_labels", "cnn", "kmer", "one_hot", "majority"]
"""The encoder and its controls."""
CONTENDERS: tuple[ContenderName, ...] = get_args(ContenderName)
ScoreName = Literal["accuracy", "mcc", "macro_f1", "auroc", "auprc"]
SCORES: tuple[ScoreName, ...] = get_args(ScoreName)
"""The scores of a prediction. Of every one a higher value is better."""


class ScoreInterval(JsonModel):
    """A value with the ends of its interval; `deviation` is the standard deviation over seeds, if there are several."""

    value: float
    low: float
    high: float
    deviation: float | None = None


class ScoreDifference(ScoreInterval):
    """The encoder's paired difference to a control. The verdict is `above`, `below` or `not distinguishable`."""

    verdict: str


class CalibrationBin(JsonModel):
    """Test samples whose most probable class has a probability from `low` to `high`; bins without samples are left out.

    confidence: the mean of these probabilities. accuracy: the share of them that is right.
    """

    low: float
    high: float
    samples: int
    confidence: float
    accuracy: float


class Calibration(JsonModel):
    """How well probabilities match accuracy. error: the expected calibration error, 0 if they are equal in every bin."""

    error: float
    bins: list[CalibrationBin]


class ContenderResult(JsonModel):
    """The scores of the encoder or of one control by one protocol.

    `chosen` holds, for each seed, the hyperparameters chosen on the validation split and the score that they reached there.
    Its keys depend on the protocol. `confusion` and `calibration`, over all seeds, are those of the encoder; results of
    version 0.1 have none. confusion [K, K]: test samples by true class (rows) and predicted class (columns).
    """

    chosen: list[dict[str, JsonValue]]
    seeds: int
    accuracy: ScoreInterval
    mcc: ScoreInterval
    macro_f1: ScoreInterval
    auroc: ScoreInterval
    auprc: ScoreInterval
    confusion: list[list[int]] | None = None
    calibration: Calibration | None = None

    def score(self, name: str) -> ScoreInterval:
        """Return the score of that name. Raises KeyError if there is no such score."""
        if name not in SCORES:
            raise KeyError(name)
        interval: ScoreInterval = getattr(self, name)
        return interval


class ProtocolResult(JsonModel):
    """The results of one protocol: the encoder, every control, and the differences between them."""

    encoder: ContenderResult
    random_init: ContenderResult | None = None
    shuffled_labels: ContenderResult | None = None
    cnn: ContenderResult | None = None
    kmer: ContenderResult | None = None
    one_hot: ContenderResult | None = None
    majority: ContenderResult | None = None
    encoder_minus: dict[str, dict[str, ScoreDifference]] = Field(default_factory=dict)
    """By control and score."""

    def contenders(self) -> dict[ContenderName, ContenderResult]:
        """Return the results that are there: the encoder first, then the controls."""
        return {name: result for name in CONTENDERS if (result := getattr(self, name)) is not None}

    def difference(self, control: str, score: str) -> ScoreDifference | None:
        """Return the encoder's difference to a control; None for the encoder itself."""
        return self.encoder_minus.get(control, {}).get(score)


class BootstrapSettings(JsonModel):
    """How intervals were computed."""

    level: float
    resamples: int
    method: str


class GenomeOverlapShare(JsonModel):
    """The share of test sequences that lie in the training regions of one genome."""

    path: str
    digest: str
    bases: int
    k: int
    share: float
    not_compared: int


class LeakageSummary(JsonModel):
    """Test samples that are also in the other splits; the full report is in audit.json."""

    test_rows: int
    share: float
    dropped: int
    """Test samples that were left out of the scores."""
    conflicting_sequences: int
    trained_on: list[GenomeOverlapShare]


class FinetuningRecord(JsonModel):
    """The settings of fine-tuning, and where each value comes from."""

    settings: dict[str, JsonValue]
    whose: dict[str, str]


class StrandDisagreement(JsonModel):
    """The distance between the embeddings of both strands; the value is None if all embeddings are the same."""

    value: float | None
    low: float | None
    high: float | None
    rows: int


class TaskInfo(JsonModel):
    """The part of a task's result that is known before anything is scored."""

    task: str
    path: str
    digest: str
    metric: ScoreName
    sizes: dict[str, int]
    classes: list[str]
    notes: list[str]
    seed: int
    interval: BootstrapSettings
    areas: str
    fitted_on: str
    scored: int
    """Test samples that were scored."""


class ModelInfo(JsonModel):
    """The scored model, and how it was used."""

    run: str
    step: int
    branch: str
    weights: str
    pooling: str
    layer: int | None
    strand: str
    precision: str
    finetuning: FinetuningRecord | None = None


class TaskScores(TaskInfo):
    """A task with its scores."""

    protocols: dict[str, ProtocolResult]


class TaskResult(ModelInfo, TaskScores):
    """One entry of evaluation.json: a run's results on one task.

    With these bases the fields come in the order of the keys in the file: task, scores, model, and then those below.
    """

    leakage: LeakageSummary
    cells: dict[str, list[str]]
    """By protocol: the keys of the cached predictions."""
    strands: dict[str, StrandDisagreement]
    revision: int = 1
    """Of the protocols and controls: results of different revisions are not comparable. Version 0.1 recorded none."""


def read_evaluation(run: Path, remedy: str) -> dict[str, TaskResult]:
    """Return a run's results by the task's path; empty if it was not evaluated.

    Raises FindnaError, which ends with `remedy`, if the file is damaged.
    """
    path = run / EVALUATION_JSON
    return parse_evaluation(path, read_entries(path, remedy), remedy)


def parse_evaluation(path: Path, entries: Mapping[str, JsonValue], remedy: str) -> dict[str, TaskResult]:
    """Return the entries of an evaluation.json as models. Raises FindnaError if one does not fit."""
    return {task: validate(path, TaskResult, entry, remedy, key=task) for task, entry in entries.items()}

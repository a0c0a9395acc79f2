"""From predictions to scores: every score of a task with its interval, its controls and its differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from findna_kit.errors import FindnaError, TaskError
from findna_kit.evaluation.bootstrap import LEVEL, METHOD, RESAMPLES, BootstrapScores, bootstrap_scores
from findna_kit.evaluation.calibration import calibration, confusion_counts
from findna_kit.evaluation.protocol_table import PROTOCOLS
from findna_kit.evaluation.scores import SCORES
from findna_kit.records.evaluation_json import (
    CONTENDERS,
    BootstrapSettings,
    ContenderResult,
    ProtocolResult,
    TaskInfo,
    TaskScores,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from findna_kit.evaluation.cache import Prediction
    from findna_kit.evaluation.request import PredictionSpec
    from findna_kit.evaluation.scores import Labels
    from findna_kit.evaluation.tasks import Task

_MIN_CLASSES = 2


def task_info(task: Task, *, seed: int, scored: int) -> TaskInfo:
    """Return the part of a task's result that is known before anything is scored. scored: the number of test samples."""
    of_two = len(task.classes) == _MIN_CLASSES
    return TaskInfo(
        task=task.name,
        path=task.path,
        digest=task.digest,
        metric=task.metric,
        sizes={name: len(split.labels) for name, split in task.splits.items()},
        classes=list(task.classes),
        notes=list(task.notes),
        seed=seed,
        interval=BootstrapSettings(level=LEVEL, resamples=RESAMPLES, method=METHOD),
        areas=f"auroc and auprc are of the class {task.classes[1]}" if of_two else "means over the classes",
        fitted_on="train",
        scored=scored,
    )


def scored_rows(task: Task, without: Sequence[int] = ()) -> NDArray[np.int64]:
    """Return the indices of the test samples that are not left out.

    Raises TaskError if the test split has one class, FindnaError if one class is left: no score is defined then.
    """
    labels = task.splits["test"].labels
    # The predictions cover all test samples; leaked ones are left out here, so that no cache depends on it.
    rows = np.setdiff1d(np.arange(len(labels)), np.array(without, dtype=np.int64))
    classes = np.unique(labels[rows]).size
    if classes >= _MIN_CLASSES:
        return rows
    if not len(without):
        raise TaskError(
            f"{task.path}: the test split has only the class {task.classes[labels[0]]!r}, and no score is defined for one "
            "class: add samples of another"
        )
    raise FindnaError(
        f"{task.path}: without the {len(without)} leaked test samples, samples of {classes} classes are left, and no score is "
        "defined: score it without --drop-leaked, and report the audit with the scores"
    )


def summarise(
    task: Task, predictions: Mapping[PredictionSpec, Prediction], *, seed: int, without: Sequence[int] = ()
) -> TaskScores:  # fmt: skip
    """Return the scores by protocol: of the encoder and every control, and the encoder's paired difference to each.

    without: test samples that are left out. Raises FindnaError if too few are left.
    """
    rows = scored_rows(task, without)
    truth = task.splits["test"].labels[rows]
    by_seed: dict[tuple[str, str], list[Prediction]] = {}
    # In the order of the repeats, which pairs the encoder's seeds with those of the controls.
    for spec in sorted(predictions, key=lambda spec: spec.number):
        by_seed.setdefault((spec.protocol, spec.contender), []).append(predictions[spec])
    # A control that several protocols share is one list of the same predictions: it is resampled once.
    shared: dict[tuple[int, ...], tuple[str, str]] = {}
    source = {key: shared.setdefault(tuple(map(id, seeds)), key) for key, seeds in by_seed.items()}
    scores = {"/".join(key): [prediction.scores[rows] for prediction in by_seed[key]] for key in shared.values()}
    sampled = bootstrap_scores(truth, scores, len(task.classes), seed=seed)
    protocols = {
        protocol: _protocol_result(
            protocol,
            truth,
            rows,
            {
                contender: (by_seed[key], sampled["/".join(source[key])])
                for contender in CONTENDERS
                if (key := (protocol, contender)) in by_seed
            },
        )
        for protocol in dict.fromkeys(spec.protocol for spec in predictions)
    }
    info = task_info(task, seed=seed, scored=len(rows))
    return TaskScores.model_validate({**info.to_json(), "protocols": protocols})


def _protocol_result(
    protocol: str, truth: Labels, rows: Labels, contenders: Mapping[str, tuple[list[Prediction], BootstrapScores]]
) -> ProtocolResult:
    """Return the results of one protocol. truth: of the scored test samples, whose indices are `rows`."""
    encoder = contenders["encoder"][1]
    results = {
        name: ContenderResult.model_validate(
            {
                "chosen": [prediction.chosen for prediction in by_seed],
                "seeds": len(by_seed),
                **{score: sampled.interval(score) for score in SCORES},
            }
        )
        for name, (by_seed, sampled) in contenders.items()
    }
    scores = [prediction.scores[rows] for prediction in contenders["encoder"][0]]
    # Fine-tuning predicts logarithms, the others probabilities.
    probabilities = [np.exp(by_seed) for by_seed in scores] if PROTOCOLS[protocol].fit is None else scores
    about = {"confusion": confusion_counts(truth, scores), "calibration": calibration(truth, probabilities)}
    results["encoder"] = results["encoder"].model_copy(update=about)
    # Differences are always encoder minus control, so that `above` means better in every table.
    differences = {
        name: {score: encoder.minus(sampled, score) for score in SCORES}
        for name, (_, sampled) in contenders.items()
        if name != "encoder"
    }
    return ProtocolResult.model_validate({**results, "encoder_minus": differences})

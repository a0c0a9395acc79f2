"""Evaluation of a finished run on labelled tasks, with randomly initialised networks as controls."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from pydantic import ValidationError

from findna_kit import checkpoint
from findna_kit.data.genome import builtin_digest
from findna_kit.errors import CheckpointMismatch, FindnaError
from findna_kit.evaluation import Evaluation, PredictionCache, load_task, summarise
from findna_kit.evaluation.cache import cache_key
from findna_kit.evaluation.task_scores import scored_rows, task_info
from findna_kit.inference.frozen_model import load
from findna_kit.records.evaluation_json import GenomeOverlapShare, LeakageSummary, TaskResult
from findna_kit.records.json_files import read_entries, write_json
from findna_kit.records.paths import EVALUATION_JSON, PREDICTIONS
from findna_kit.records.run_json import read_run_json
from findna_kit.runs.contenders import Networks
from findna_kit.runs.leakage import report_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from findna_kit.evaluation.tasks import Task
    from findna_kit.inference.frozen_model import FrozenModel
    from findna_kit.recipe import Recipe
    from findna_kit.records.audit_json import AuditReport
    from findna_kit.records.json_files import JsonObject
    from findna_kit.runs.scoring import Scoring

    Log = Callable[[str], None]

_SAME = (
    "step",
    "branch",
    "weights",
    "pooling",
    "layer",
    "strand",
    "precision",
    "seed",
    "sizes",
    "scored",
    "digest",
    "revision",
)
"""Keys that two results of a task must have in common to be joined in one entry of evaluation.json."""
_REVISION = 2
"""Raise it when scores of the same protocol can no longer be compared, because a protocol or a control was corrected."""
_REMEDY = f"remove it, and evaluate again: the predictions in {PREDICTIONS}/ are reused"


def evaluate_run(
    run: Path, tasks: Sequence[str], scoring: Scoring, *, say: Log = lambda sentence: None
) -> list[TaskResult]:  # fmt: skip
    """Score the run's frozen model, and its controls, on each task, and return the results of the requested protocols.

    Each prediction is cached in the run's folder as soon as it is made. The results go into evaluation.json, with one entry
    per task, by its path; protocols join those scored before if model and samples are the same. Raises FindnaError for a
    run or task that cannot be scored.
    """
    refuse_absent(run)
    loaded = [load_task(task, scoring.data, scoring.sequence_column, scoring.label_column) for task in tasks]
    # Called for its error: a task that cannot be scored is refused before the model is loaded or another task is scored.
    for task in loaded:
        scored_rows(task)
    model, weights = open_model(run, scoring)
    results = []
    for task in loaded:
        networks = Networks(run, model, weights, scoring, task, say)
        results.append(score_task(run, task, networks, say))
    return results


def open_model(run: Path, scoring: Scoring) -> tuple[FrozenModel, str]:
    """Return the model to score and the digest of its weights. Raises FindnaError for a run that cannot be scored."""
    model = load(run, scoring.branch, step=scoring.step, device=scoring.device, without=scoring.without)
    model.check_pooling(scoring.pooling, scoring.layer)
    return model, _weights_digest(run, model.step)


def refuse_absent(run: Path) -> None:
    """Raise FindnaError if there is no such folder."""
    try:
        run.stat()
    except OSError as error:
        raise FindnaError(f"{run}: is not a run folder ({error.strerror}); give the folder that `run` made") from error


def score_task(run: Path, task: Task, networks: Networks, log: Log) -> TaskResult:
    """Return the result of the requested protocols on one task, and enter it into evaluation.json."""
    scoring, seed = networks.scoring, networks.model.recipe.seed
    evaluation = Evaluation(task, networks.contender, scoring.asked, seed=seed)
    audit = report_for(run, task)
    without = audit.leaked.rows if scoring.drop_leaked else []
    # Raises before hours are spent on a task that has too few samples left to be scored.
    scored = len(scored_rows(task, without))
    keys: dict[str, list[str]] = {}
    for spec in evaluation.specs:
        keys.setdefault(spec.protocol, []).append(cache_key(evaluation.identity(spec)))
    cached = PredictionCache(run / PREDICTIONS)
    info = task_info(task, seed=seed, scored=scored)
    if task.path == "builtin" and not _trained_on_builtin(run, networks.model.recipe):
        note = "the task is made from D. melanogaster; this run was trained on another genome"
        info = info.model_copy(update={"notes": [*info.notes, note]})
    leakage = _leakage(audit, dropped=len(without))
    described = info.to_json() | networks.info().to_json() | {"leakage": leakage.to_json(), "revision": _REVISION}
    before = read_entries(run / EVALUATION_JSON, _REMEDY).get(task.path, {})
    if (finished := _finished(before, described, keys, cached)) is not None:
        log(f"{task.name}: already evaluated; nothing is computed")
        return finished
    predictions = evaluation.predictions(cached, log)
    protocols = summarise(task, predictions, seed=seed, without=without).protocols
    result = TaskResult.model_validate({**described, "protocols": protocols, "cells": keys, "strands": networks.strands()})
    _store(run / EVALUATION_JSON, result)  # after each task: a later one may fail
    return result


def _finished(
    before: JsonObject, described: JsonObject, keys: dict[str, list[str]], cached: PredictionCache
) -> TaskResult | None:  # fmt: skip
    """Return the requested protocols of an entry of evaluation.json; None if it is of another model, or lacks some."""
    if any(before.get(name) != value for name, value in described.items()):
        return None
    try:
        result = TaskResult.model_validate(before)
    except ValidationError:  # an entry of another version, which is replaced
        return None
    same = all(result.cells.get(protocol) == wanted for protocol, wanted in keys.items())
    if not same or not all(cached.has(key) for wanted in keys.values() for key in wanted):
        return None
    return result.model_copy(update={"protocols": {protocol: result.protocols[protocol] for protocol in keys}})


def _weights_digest(run: Path, step: int) -> str:
    """Return the sha256 of the checkpoint's weights.

    It is taken once, right after loading: a resumed run removes its older checkpoints.
    """
    path = checkpoint.path_of(run, step) / checkpoint.MODEL
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointMismatch(f"{path}: cannot be read ({error}); call again for the newest checkpoint") from error


def _leakage(audit: AuditReport, *, dropped: int) -> LeakageSummary:
    """Return what evaluation.json holds of an audit; the full report is in audit.json."""
    return LeakageSummary(
        test_rows=len(audit.leaked.rows),
        share=audit.leaked.share,
        dropped=dropped,
        conflicting_sequences=audit.conflicting.sequences,
        trained_on=[
            GenomeOverlapShare.model_validate({name: value for name, value in genome.to_json().items() if name != "rows"})
            for genome in audit.trained_on
        ],
    )


def _store(path: Path, result: TaskResult) -> None:
    """Enter a result into evaluation.json, joined with the entry's other protocols if they are of the same model."""
    # Two processes may score one run: without the lock the later one would overwrite the entry of the earlier.
    with FileLock(path.with_name(f".{path.name}.lock")):
        entries = read_entries(path, _REMEDY)
        before, entry = entries.get(result.path, {}), result.to_json()
        if all(name in before and before[name] == entry[name] for name in _SAME):
            for name in ("protocols", "cells"):
                entry[name] = _joined(before[name], entry[name])
            if "finetuning" in before:
                entry.setdefault("finetuning", before["finetuning"])
        write_json(path, {**entries, result.path: entry})


def _joined(before: Any, after: Any) -> JsonObject:
    return {**before, **after}


def _trained_on_builtin(run: Path, recipe: Recipe) -> bool:
    """Return whether the run trained on the built-in genome, under any path: the recorded digest tells."""
    if "builtin" in {genome.path for genome in recipe.data.genomes}:
        return True
    recorded = {genome.digest for genome in read_run_json(run).genomes}
    return bool(recorded) and builtin_digest() in recorded

"""Fine-tuning of a run on a task, scored like the protocol, and the best network of several seeds kept in a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from safetensors import safe_open

from findna_kit.evaluation import Evaluation, PredictionCache, load_task
from findna_kit.evaluation.cache import cache_key
from findna_kit.evaluation.task_scores import scored_rows
from findna_kit.finetuned import folder as finetuned_folder
from findna_kit.inference.embedding.job import made_with
from findna_kit.records.finetuned_json import FinetunedRecord, FinetunedSource, ForwardPasses, SeedScore
from findna_kit.records.paths import PREDICTIONS, RECIPE
from findna_kit.records.run_json import read_run_json
from findna_kit.runs.contenders import PASSES, Networks
from findna_kit.runs.evaluate import open_model, refuse_absent, score_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from findna_kit.evaluation import Prediction
    from findna_kit.records.evaluation_json import TaskResult
    from findna_kit.runs.scoring import Scoring

    Log = Callable[[str], None]

PROTOCOL = "finetune"


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned model in its folder, and its scores next to its controls."""

    folder: Path
    record: FinetunedRecord
    result: TaskResult


def finetune_run(
    run: Path, task_name: str, out: Path, scoring: Scoring, *, overwrite: bool = False, say: Log = lambda sentence: None
) -> Finetuned:  # fmt: skip
    """Fine-tune a run on a task with every seed, score it next to its controls, and keep the best network in `out`.

    The best is chosen on the validation split, the first of equals. Scores and predictions go into the run's folder as those
    of `evaluate_run` do, and an interrupted call continues when it is called again. Raises OutputExists for an `out` that may
    not be replaced; FindnaError for a run or task that cannot be scored.
    """
    finetuned_folder.refuse_existing(out, overwrite=overwrite)
    refuse_absent(run)
    task = load_task(task_name, scoring.data, scoring.sequence_column, scoring.label_column)
    scored_rows(task)
    model, weights = open_model(run, scoring)
    networks = Networks(run, model, weights, scoring, task, say, keeps_weights=True)
    evaluation = Evaluation(task, networks.contender, scoring.asked, seed=model.recipe.seed)
    specs = [spec for spec in evaluation.specs if (spec.protocol, spec.contender) == (PROTOCOL, "encoder")]
    keys = [cache_key(evaluation.identity(spec)) for spec in specs]
    cached = PredictionCache(run / PREDICTIONS)
    for key in keys:
        cached.remove_without_weights(key)
    result = score_task(run, task, networks, say)
    predictions = [cached.get(key) for key in keys]
    validation = [_validation_score(prediction) for prediction in predictions]
    best = validation.index(max(validation))
    seeds = [SeedScore(seed=evaluation.seed_of(spec), validation=score) for spec, score in zip(specs, validation, strict=True)]
    record = _record(networks, predictions[best], seeds, seeds[best].seed)
    kept = cast("Path", predictions[best].weights)
    recipe = (run / RECIPE).read_text(encoding="utf-8")
    finetuned_folder.write(out, record, result, weights=kept, recipe=recipe)
    for key in keys:
        # The folder has the network now; those of the other seeds are not needed.
        cached.remove_weights(key)
    return Finetuned(out, record, result)


def _record(networks: Networks, best: Prediction, seeds: Sequence[SeedScore], seed: int) -> FinetunedRecord:
    task, model, scoring = networks.task, networks.model, networks.scoring
    weights = cast("Path", best.weights)
    with safe_open(weights, "pt") as file:
        passes = ForwardPasses.model_validate(json.loads(file.metadata()[PASSES]))
    return FinetunedRecord(
        format=1, task=task.name, path=task.path, digest=task.digest, classes=list(task.classes),
        source=FinetunedSource(
            run=str(networks.run.resolve()), name=model.recipe.name, step=model.step, branch=model.branch,
            weights=networks.weights,
        ),
        weights=finetuned_folder.digest_of(weights), pooling=scoring.pooling, strand=scoring.strands[0],
        precision=model.precision, passes=passes, settings=networks.settings.model_dump(mode="json"), seed=seed,
        seeds=list(seeds), chosen=dict(best.chosen), components=read_run_json(networks.run).components,
        made_with=made_with(model.engine.device.type),
    )  # fmt: skip


def _validation_score(prediction: Prediction) -> float:
    """Return the score of the chosen epoch on the validation split: MCC, or accuracy if the split has one class."""
    chosen = prediction.chosen
    return float(chosen["validation_mcc"] if "validation_mcc" in chosen else chosen["validation_accuracy"])

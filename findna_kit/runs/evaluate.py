"""A finished run on labelled tasks, beside networks that have learned nothing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock

from findna_kit import checkpoint
from findna_kit.data.genome import builtin_digest
from findna_kit.errors import CheckpointMismatch, FindnaError
from findna_kit.evaluation import (
    Cells,
    Contender,
    Evaluation,
    EvaluationRequest,
    Prediction,
    load_task,
    strand_disagreement,
    summarise,
)
from findna_kit.evaluation.cache import key_of
from findna_kit.evaluation.finetuning import finetune, settings_for
from findna_kit.evaluation.summary import about, rows_scored
from findna_kit.inference.frozen_model import load, untrained
from findna_kit.plugins.loading import load_plugins
from findna_kit.records.run_folder import CELLS, EVALUATION, RECORD, read_by_task, write_json
from findna_kit.runs.leakage import report_for

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from findna_kit.evaluation.tasks import Task
    from findna_kit.inference.frozen_model import BranchName, FrozenModel, Pooling, Strand
    from findna_kit.recipe import Recipe

    Say = Callable[[str], None]

_SAME = ("step", "branch", "weights", "pooling", "layer", "strand", "precision", "seed", "sizes", "scored", "digest")
"""What two results of a task must have in common to stand in one entry of evaluation.json."""


@dataclass(frozen=True)
class Scoring:
    """How a run is scored. finetune: `K=V`, settings of fine-tuning; data: where the data of shipped tasks lie.

    Raises FindnaError for what the protocols would take no notice of.
    """

    asked: EvaluationRequest = field(default_factory=EvaluationRequest)
    pooling: Pooling = "mean"
    layer: int | None = None
    strand: Strand = "forward"
    branch: BranchName | None = None
    step: int | None = None
    finetune: tuple[str, ...] = ()
    drop_leaked: bool = False
    data: Path | None = None
    device: str = "auto"
    without: Collection[str] = ()

    def __post_init__(self) -> None:
        """A result says its layer, and would say one that fine-tuning has not used."""
        tuned = "finetune" in self.asked.protocols
        if tuned and self.layer is not None:
            raise FindnaError(
                f"layer {self.layer} is of frozen embeddings; fine-tuning takes the first blocks of an encoder by "
                "--finetune blocks=N: ask for it in a call of its own, without a layer"
            )
        if self.finetune and not tuned:
            raise FindnaError(f"{self.finetune[0]!r} is a setting of fine-tuning, which is not asked for: name finetune too")


def evaluate_run(
    run: Path, tasks: Sequence[str], scoring: Scoring, *, say: Say = lambda sentence: None
) -> list[dict[str, Any]]:  # fmt: skip
    """Scores the run's frozen model, and networks that have learned nothing, on each task.

    Predictions are kept in the run's folder, each as soon as it is there, and not made again; the results go into
    evaluation.json, where a task has one entry, by its path; protocols join those scored before on the same rows by the same
    model. Raises FindnaError for what cannot be scored.
    """
    try:
        run.stat()
    except OSError as error:
        raise FindnaError(f"{run}: is not a run folder ({error.strerror}); give the folder that `run` made") from error
    loaded = [load_task(task, scoring.data) for task in tasks]
    for task in loaded:
        rows_scored(task)
    model = load(run, scoring.branch, step=scoring.step, device=scoring.device, without=scoring.without)
    model.check_pooling(scoring.pooling, scoring.layer)
    weights = _digest(run, model.step)
    results = []
    for task in loaded:
        networks = _Networks(run, model, weights, scoring, task, say)
        results.append(_score(run, task, networks, say))
    return results


def _score(run: Path, task: Task, networks: _Networks, say: Say) -> dict[str, Any]:
    scoring, model = networks.scoring, networks.model
    evaluation = Evaluation(task, networks.contender, scoring.asked, seed=model.recipe.seed)
    report = report_for(run, task)
    without = report["leaked"]["rows"] if scoring.drop_leaked else []
    scored = len(rows_scored(task, without))  # what no score can be taken of is refused before hours are spent on it
    wanted: dict[str, list[str]] = {}
    for cell in scoring.asked.cells():
        wanted.setdefault(cell.protocol, []).append(key_of(evaluation.identity(cell)))
    cells = Cells(run / CELLS)
    kept = _kept(run / EVALUATION).get(task.path, {})
    told = about(task, seed=model.recipe.seed) | networks.told()
    told |= {"scored": scored, "leakage": _leakage(report, dropped=len(without))}
    if task.path == "builtin" and not _trained_on_builtin(run, model.recipe):
        told["notes"].append("the task is made of D. melanogaster; this run was trained on another genome")
    same = all(kept.get(name) == value for name, value in told.items())
    finished = same and "strands" in kept and all(kept["cells"].get(protocol) == keys for protocol, keys in wanted.items())
    if finished and all(cells.has(key) for keys in wanted.values() for key in keys):
        say(f"{task.name}: finished before; nothing is computed")
        return {**kept, "protocols": {protocol: kept["protocols"][protocol] for protocol in wanted}}
    predictions = evaluation.predictions(cells, say)
    result = summarise(task, predictions, seed=model.recipe.seed, without=without) | told
    result["cells"] = wanted
    result["strands"] = networks.strands()
    _keep(run / EVALUATION, result)  # each when it is there: what comes after may fail
    return result


class _Networks:
    """The run's model and those that have learned nothing, as an evaluation of one task sees them."""

    def __init__(self, run: Path, model: FrozenModel, weights: str, scoring: Scoring, task: Task, say: Say) -> None:
        self.run, self.model, self.weights, self.scoring, self.task, self.say = run, model, weights, scoring, task, say
        self.settings, self.marks = settings_for(task, scoring.finetune)
        # Looked up before any embedding, which takes long: an unknown name is refused at once.
        self.optimizer = load_plugins(scoring.without)[0].optimizers[self.settings.optimizer]
        # A network is drawn when it is asked for, and kept while its cells are made: they come one after the other.
        self._model = lru_cache(2)(self._drawn)
        self.contender = cache(self._contender)

    def told(self) -> dict[str, Any]:
        """What of the model a result says."""
        scoring, model = self.scoring, self.model
        said: dict[str, Any] = {
            "run": str(self.run.resolve()), "step": model.step, "branch": model.branch, "weights": self.weights,
            "pooling": scoring.pooling, "layer": scoring.layer, "strand": scoring.strand, "precision": model.precision,
        }  # fmt: skip
        if "finetune" in scoring.asked.protocols:
            said["finetuning"] = {"settings": self.settings.model_dump(mode="json"), "whose": self.marks}
        return said

    def strands(self) -> dict[str, Any]:
        """Strand disagreement of the encoder, and of the first network that has learned nothing, as they were embedded."""
        sequences, seed = self.task.parts["test"].sequences, self.model.recipe.seed
        who: tuple[Literal["encoder", "random_init"], ...] = ("encoder", "random_init")
        return {one: strand_disagreement(self.contender(one, 0).embed, sequences, seed=seed) for one in who}

    def _contender(self, who: Literal["encoder", "random_init"], number: int) -> Contender:
        scoring = self.scoring
        how = {"pooling": scoring.pooling, "strand": scoring.strand, "precision": self.model.precision}
        if who == "encoder":
            network: dict[str, Any] = {"weights": self.weights, "branch": self.model.branch}
        else:
            recipe = hashlib.sha256(self.model.recipe.dump().encode()).hexdigest()
            network = {"untrained": number, "recipe": recipe}

        def embed(sequences: Sequence[str]) -> Any:
            return self._model(who, number).embed(sequences, scoring.pooling, layer=scoring.layer, strand=scoring.strand)

        def tune(task: Task, seed: int, folder: Path) -> Prediction:
            model = self._model(who, number)
            tuned = finetune(
                model.network, model.engine, task, self.settings, pooling=scoring.pooling, strand=scoring.strand, seed=seed,
                folder=folder, say=self.say, marks=self.marks, optimizer=self.optimizer,
            )  # fmt: skip
            return Prediction(tuned.scores, tuned.chosen)

        settings = self.settings.model_dump(mode="json")
        return Contender(embed, {**network, **how, "layer": scoring.layer}, tune, {**network, **how, "settings": settings})

    def _drawn(self, who: Literal["encoder", "random_init"], number: int) -> FrozenModel:
        return self.model if who == "encoder" else untrained(self.model, number)


def _digest(run: Path, step: int) -> str:
    """Of the weights. Taken once, and as soon as they are loaded: a run that goes on removes its older checkpoints."""
    path = checkpoint.path_of(run, step) / checkpoint.MODEL
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointMismatch(f"{path}: cannot be read ({error}); call again for the newest") from error


def _leakage(report: Mapping[str, Any], *, dropped: int) -> dict[str, Any]:
    """What stands beside the scores; the whole report is in audit.json."""
    return {
        "test_rows": len(report["leaked"]["rows"]),
        "share": report["leaked"]["share"],
        "dropped": dropped,
        "conflicting_sequences": report["conflicting"]["sequences"],
        "trained_on": [{name: value for name, value in seen.items() if name != "rows"} for seen in report["trained_on"]],
    }


def _kept(path: Path) -> dict[str, dict[str, Any]]:
    return read_by_task(path, f"evaluate makes it anew of the predictions in {CELLS}/")


def _keep(path: Path, result: Mapping[str, Any]) -> None:
    with FileLock(path.with_name(f".{path.name}.lock")):  # two may be scoring one run
        kept = _kept(path)
        before = kept.get(result["path"], {})
        same = all(name in before and before[name] == result[name] for name in _SAME)
        joined = {part: {**(before[part] if same else {}), **result[part]} for part in ("protocols", "cells")}
        if same and "finetuning" in before:
            joined["finetuning"] = result.get("finetuning", before["finetuning"])
        write_json(path, {**kept, result["path"]: {**result, **joined}})


def _trained_on_builtin(run: Path, recipe: Recipe) -> bool:
    """By the digest that the run recorded: the built-in FASTA may have been given by its path, or a copy's."""
    record = run / RECORD
    told = json.loads(record.read_text()).get("genomes", []) if record.is_file() else []
    paths = {genome.path for genome in recipe.data.genomes}
    return "builtin" in paths or builtin_digest() in {genome["digest"] for genome in told}

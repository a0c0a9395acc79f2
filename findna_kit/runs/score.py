"""A finished run on labelled tasks, beside its own first step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from findna_kit.errors import FindnaError
from findna_kit.genome import builtin_digest
from findna_kit.runs.folder import EVALUATION, RECORD, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from findna_kit.recipe import Recipe

_SAME = ("step", "branch", "pooling", "strand", "precision", "seed", "sizes", "digest")
"""What two results of a task must have in common to stand in one entry of evaluation.json."""


def evaluate_run(
    run: Path, tasks: Sequence[str], protocols: Sequence[str], *, device: str = "auto",
    without: tuple[str, ...] = (),
    say: Callable[[str], None] = lambda sentence: None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Scores the run's frozen model and its own first step on each task; the results go into evaluation.json too.

    There a task has one entry, by its path; protocols join those scored before on the same rows by the same model.
    """
    from findna_kit.evaluation import evaluate, known_protocols, load_task  # scikit-learn comes with it
    from findna_kit.frozen import load

    wanted = known_protocols(protocols)
    try:
        run.stat()
    except OSError as error:
        raise FindnaError(f"{run}: is no run's folder ({error.strerror}); give the folder that `run` made") from error
    loaded = [load_task(task) for task in tasks]
    model = load(run, device=device, without=without)
    initial = load(run, model.branch, step=0, device=device, without=without)
    results = []
    for task in loaded:
        rows = sum(len(table.labels) for table in task.parts.values())
        say(f"{task.name if len(loaded) == 1 else task.path}: embedding and scoring {rows} sequences")
        result = evaluate(task, {"encoder": model.embed, "random_init": initial.embed}, wanted, seed=model.recipe.seed)
        result |= {"run": str(run), "step": model.step, "branch": model.branch, "pooling": "mean", "strand": "forward"}
        result["precision"] = model.precision
        if task.name == "builtin" and not _trained_on_builtin(run, model.recipe):
            result["notes"].append("the task is made of D. melanogaster; this run was trained on another genome")
        results.append(result)
        _keep(run / EVALUATION, result)  # each when it is there: what comes after may fail
    return results


def _keep(path: Path, result: Mapping[str, Any]) -> None:
    with FileLock(path.with_name(f".{path.name}.lock")):  # two may be scoring one run
        kept: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        before = kept.get(result["path"], {})
        same = all(name in before and before[name] == result[name] for name in _SAME)
        protocols = {**before["protocols"], **result["protocols"]} if same else result["protocols"]
        write_json(path, {**kept, result["path"]: {**result, "protocols": protocols}})


def _trained_on_builtin(run: Path, recipe: Recipe) -> bool:
    """By the digest that the run recorded: the built-in FASTA may have been given by its path, or a copy's."""
    record = run / RECORD
    told = json.loads(record.read_text()).get("genomes", []) if record.is_file() else []
    paths = {genome.path for genome in recipe.data.genomes}
    return "builtin" in paths or builtin_digest() in {genome["digest"] for genome in told}

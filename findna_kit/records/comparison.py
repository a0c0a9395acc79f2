"""Runs side by side: what differs in their recipes, versions and genomes, and their metrics and scores. Nothing is tested."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypedDict

from pydantic import JsonValue

from findna_kit.errors import FindnaError
from findna_kit.metrics.names import BASELINE, has_validation
from findna_kit.metrics.readers import newest_rows
from findna_kit.records.evaluation_json import read_evaluation
from findna_kit.records.listing import entry_of
from findna_kit.records.paths import RECIPE, RUN_JSON

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from findna_kit.records.evaluation_json import TaskResult
    from findna_kit.records.json_files import JsonObject
    from findna_kit.records.listing import Entry
    from findna_kit.records.run_json import RunJson

_MIN_RUNS = 2
_DEPTH = 4
"""Folders from a study's to a cell's run: cells/CONDITION/seed-N/run."""
_COMPARABLE = ("digest", "metric", "scored", "pooling", "layer", "strand", "revision")
"""Fields of a result that must be equal for two scores to be comparable."""
ONE_TRAINING = (
    "there is no interval for a difference between these runs: each was trained once, and another seed would score "
    "differently; findna-kit ablate trains pairs of seeds and tests their differences"
)


class ScoreRow(TypedDict):
    """The score of the encoder or of a control on one task by one protocol, for each run; None if it was not scored."""

    path: str
    protocol: str
    score: str
    who: str
    values: list[dict[str, float] | None]


class Comparison(TypedDict):
    """The result of `compare`, ready for JSON. Lists have one item per run; None stands for unknown values.

    recipes, versions: only what differs. metrics: the newest values. scores: in each task's own metric. differences: between
    conditions of a finished study, as the study recorded them. remarks: what cannot be compared.
    """

    runs: list[str]
    status: list[str]
    step: list[int | None]
    training_seconds: list[float | None]
    recipes: dict[str, list[str | None]]
    versions: dict[str, list[str | None]]
    genomes: list[list[str]]
    metrics: dict[str, list[float | None]]
    scores: list[ScoreRow]
    differences: list[JsonObject]
    remarks: list[str]


def compare(runs: Sequence[Path]) -> Comparison:
    """Compare two runs or more, from their files alone.

    Raises FindnaError for fewer than two runs, a run that is given twice, a folder that is no run, and a damaged run.
    """
    if len(runs) < _MIN_RUNS:
        raise FindnaError("compare needs two runs or more")
    entries = [_intact_entry(run) for run in runs]
    if len({run.resolve() for run in runs}) < len(runs):
        raise FindnaError("a run is given twice; give each once")
    scores, remarks = _scores([read_evaluation(run, "remove it, and evaluate the run again") for run in runs])
    differences = _study_differences(runs)
    genomes = [[genome.digest for genome in entry.record.genomes] for entry in entries]
    if not all(genome == genomes[0] for genome in genomes):
        remarks.append("the genomes differ: validation metrics are of different windows, and cannot be compared")
    if not differences:
        remarks.append(ONE_TRAINING)
    return {
        "runs": [str(run) for run in runs],
        "status": [entry.status for entry in entries],
        "step": [entry.step for entry in entries],
        "training_seconds": [entry.seconds for entry in entries],
        "recipes": _differing([_recipe(run) for run in runs]),
        "versions": _differing([_versions(entry.record) for entry in entries]),
        "genomes": genomes,
        "metrics": _metrics(runs),
        "scores": scores,
        "differences": differences,
        "remarks": remarks,
    }


def _intact_entry(run: Path) -> Entry:
    """Return the run's entry. Raises FindnaError if the folder is no run, or the run is damaged."""
    if not (run / RUN_JSON).is_file():
        raise FindnaError(f"{run}: is not a run folder: it has no {RUN_JSON}")
    entry = entry_of(run)
    if entry.status == "broken":
        raise FindnaError(str(entry.reason))
    return entry


def _recipe(run: Path) -> dict[str, str]:
    """Return the values of the run's recipe by path, as text. Reads plain YAML: plugins may be missing by now."""
    # The YAML reader is not needed to list or choose runs, which should start fast.
    from findna_kit.recipe.diff import leaves
    from findna_kit.recipe.yaml_nodes import read_plain

    return dict(leaves(read_plain(run / RECIPE)))


def _differing(runs: Sequence[Mapping[str, str]]) -> dict[str, list[str | None]]:
    """Return, for each key whose values differ between the runs, the value of every run."""
    names = dict.fromkeys(name for values in runs for name in values)
    table = {name: [values.get(name) for values in runs] for name in names}
    return {name: row for name, row in table.items() if len(set(row)) > 1}


def _versions(record: RunJson) -> dict[str, str]:
    """Return the versions of packages, the distribution of each component, and the resolved `auto` settings."""
    components = {f"{kind} {name}": owner for kind, names in record.components.items() for name, owner in names.items()}
    # torch's version is among the versions already.
    resolved = {name: str(value) for name, value in record.resolved.to_json().items() if name != "torch"}
    return {**record.versions, **components, **resolved}


def _metrics(runs: Sequence[Path]) -> dict[str, list[float | None]]:
    """Return the newest values of all metrics: of the last row, and of the last row written at a validation."""
    newest = [_newest_metrics(run) for run in runs]
    names = sorted({name for values in newest for name in values}, key=lambda name: (name.startswith(BASELINE), name))
    return {name: [values.get(name) for values in newest] for name in names}


def _newest_metrics(run: Path) -> dict[str, float]:
    values: dict[str, float] = {}
    for row in newest_rows(run):
        # Rows come newest first, so the values that are there already are the newer ones. Rows between two validations lack the
        # validation metrics, so the search goes back to the last row that has them.
        values = {**row, **values}
        if has_validation(row):
            break
    return {name: value for name, value in values.items() if name != "step"}


def _scores(results: Sequence[Mapping[str, TaskResult]]) -> tuple[list[ScoreRow], list[str]]:
    """Return the score rows of every task, and a remark for each task whose scores are not comparable."""
    rows: dict[tuple[str, str, str, str], ScoreRow] = {}
    remarks = list[str]()
    for path in dict.fromkeys(path for by_task in results for path in by_task):
        scored = [by_task[path] for by_task in results if path in by_task]
        changed = [key for key in _COMPARABLE if any(getattr(other, key) != getattr(scored[0], key) for other in scored)]
        if changed:
            remarks.append(f"{path}: the scores are not comparable, {', '.join(changed)} differ; evaluate both runs alike")
        for number, by_task in enumerate(results):
            if path in by_task:
                _add_scores(rows, path, by_task[path], number, len(results))
    return list(rows.values()), remarks


def _add_scores(rows: dict[tuple[str, str, str, str], ScoreRow], path: str, task: TaskResult, run: int, runs: int) -> None:
    """Enter one run's scores on one task into its column of the rows."""
    for protocol, block in task.protocols.items():
        for who, contender in block.contenders().items():
            interval = contender.score(task.metric)
            row = rows.setdefault(
                (path, protocol, task.metric, who),
                {"path": path, "protocol": protocol, "score": task.metric, "who": who, "values": [None] * runs},
            )
            row["values"][run] = {"value": interval.value, "low": interval.low, "high": interval.high}


def _study_differences(runs: Sequence[Path]) -> list[JsonObject]:
    """Return what a finished study recorded about the conditions of these runs; empty if they are no cells of one study."""
    studies = {run.resolve().parents[_DEPTH - 1] for run in runs if len(run.resolve().parents) >= _DEPTH}
    if len(studies) != 1:
        return []
    (study,) = studies
    try:
        # Read without the file's typed model, which belongs to `study`: that layer is above this one and cannot be imported.
        conditions = json.loads((study / "result.json").read_text(encoding="utf-8"))["conditions"]
        first = next(iter(conditions))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise FindnaError(f"{study / 'result.json'}: unexpected content; call ablate again") from error
    named = dict.fromkeys(run.resolve().parents[1].name for run in runs)
    if first not in named:  # a study compares every condition with its first, and no others with each other
        return []
    differences = list[dict[str, JsonValue]]()
    for name in named:
        if "effect" in conditions.get(name, {}):
            differences.append({"study": str(study), "condition": name, "minus": first, **conditions[name]["effect"]})
    return differences

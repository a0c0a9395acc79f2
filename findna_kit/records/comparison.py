"""Runs side by side: what was different about them, and what came out of each. Nothing is tested here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from findna_kit.errors import FindnaError
from findna_kit.metrics.readers import newest_rows
from findna_kit.records.listing import entry_of
from findna_kit.records.run_record import EVALUATION, RECIPE, RECORD, read_by_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from findna_kit.records.listing import Entry

_FEWEST = 2
_DEPTH = 4
"""Folders from a study's down to a cell's run: cells/CONDITION/seed-N/run."""
_SHARED = ("digest", "metric", "scored", "pooling", "layer", "strand")
"""Of a result: what must be the same for two scores to be of one thing."""
ONE_TRAINING = (
    "no interval of a difference between these runs is known: each is one training, and another seed of it would score "
    "otherwise; findna-kit ablate trains pairs of seeds, and says"
)


def compare(runs: Sequence[Path]) -> dict[str, Any]:
    """Of each run a value in each list, ready for JSON: what differs of recipes, versions and genomes; metrics; scores.

    recipes, versions: only what is not the same in all, None where a run does not have it. metrics: of the newest rows.
    scores: every protocol's, of the encoder and its controls. differences: between the conditions of one finished study, as
    it says. remarks: what cannot be compared. Raises FindnaError for fewer than two runs, one given twice, one that is none,
    and one that is broken.
    """
    if len(runs) < _FEWEST:
        raise FindnaError("compare wants two runs or more")
    entries = [_whole(run) for run in runs]
    if len({run.resolve() for run in runs}) < len(runs):
        raise FindnaError("a run is given twice; once is enough")
    results = [_results(run) for run in runs]
    scores, remarks = _scores(results)
    differences = _differences(runs)
    genomes = [[genome.get("digest") for genome in entry.record.get("genomes", ())] for entry in entries]
    if not all(genome == genomes[0] for genome in genomes):
        remarks.append("the genomes are not the same: held-out metrics are of other windows, and tell nothing of each other")
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


def _whole(run: Path) -> Entry:
    if not (run / RECORD).is_file():
        raise FindnaError(f"{run}: is not a run folder: there is no {RECORD} in it")
    entry = entry_of(run)
    if entry.status == "broken":
        raise FindnaError(str(entry.reason))
    return entry


def _recipe(run: Path) -> dict[str, str]:
    """Values by path, as they were written: a plugin that is missing by now does not matter."""
    from findna_kit.recipe.diff import leaves
    from findna_kit.recipe.yaml_nodes import read_plain

    return dict(leaves(read_plain(run / RECIPE)))


def _differing(each: Sequence[Mapping[str, str]]) -> dict[str, list[str | None]]:
    names = dict.fromkeys(name for one in each for name in one)
    rows = {name: [one.get(name) for one in each] for name in names}
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


def _versions(record: Mapping[str, Any]) -> dict[str, str]:
    """Of packages, of who gave each component, and what `auto` became."""
    components = record.get("components", {})
    owners = {f"{kind} {name}": owner for kind, names in components.items() for name, owner in names.items()}
    resolved = {name: str(value) for name, value in record.get("resolved", {}).items() if name != "torch"}
    return {**record.get("versions", {}), **owners, **resolved}


def _metrics(runs: Sequence[Path]) -> dict[str, list[float | None]]:
    """The newest value of every metric in the newest row, and in the newest one of a look at the held-out windows."""
    each = list[dict[str, float]]()
    for run in runs:
        values: dict[str, float] = {}
        for row in newest_rows(run):
            values = {**row, **values}
            if any(name.startswith("collapse/") for name in row):
                break
        each.append({name: value for name, value in values.items() if name != "step"})
    names = sorted({name for values in each for name in values}, key=lambda name: (name.startswith("baseline/"), name))
    return {name: [values.get(name) for values in each] for name in names}


def _results(run: Path) -> dict[str, dict[str, Any]]:
    return read_by_task(run / EVALUATION, "and evaluate the run again")


def _scores(results: Sequence[Mapping[str, Mapping[str, Any]]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Of every task, protocol and who: the score that the task is judged by, of each run; and what is not the same task."""
    rows: dict[tuple[str, str, str, str], list[Any]] = {}
    remarks = list[str]()
    for path in dict.fromkeys(path for one in results for path in one):
        there = [one[path] for one in results if path in one]
        if changed := [key for key in _SHARED if any(one[key] != there[0][key] for one in there)]:
            remarks.append(f"{path}: the scores are not of one thing, {', '.join(changed)} differ; evaluate both runs alike")
        for number, one in enumerate(results):
            for protocol, block in one.get(path, {}).get("protocols", {}).items():
                for who, scored in block.items():
                    if who != "encoder_minus":
                        key = (path, protocol, one[path]["metric"], who)
                        found = {end: scored[one[path]["metric"]][end] for end in ("value", "low", "high")}
                        rows.setdefault(key, [None] * len(results))[number] = found
    names = ("path", "protocol", "score", "who")
    return [{**dict(zip(names, key, strict=True)), "values": values} for key, values in rows.items()], remarks


def _differences(runs: Sequence[Path]) -> list[dict[str, Any]]:
    """What a finished study says of the conditions that these runs are cells of; nothing where they are not of one."""
    studies = {run.resolve().parents[_DEPTH - 1] for run in runs if len(run.resolve().parents) >= _DEPTH}
    if len(studies) != 1:
        return []
    (study,) = studies
    try:
        conditions = json.loads((study / "result.json").read_text())["conditions"]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise FindnaError(f"{study / 'result.json'}: is not what ablate writes; call ablate again") from error
    first = next(iter(conditions))
    mine = dict.fromkeys(run.resolve().parents[1].name for run in runs)
    if first not in mine:
        return []
    return [
        {"study": str(study), "condition": name, "minus": first, **conditions[name]["effect"]}
        for name in mine
        if "effect" in conditions.get(name, {})
    ]

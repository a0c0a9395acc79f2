"""The command evaluate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from findna_kit.cli import loading
from findna_kit.cli.progress import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from findna_kit.frozen import Pooling, Strand, Which
    from findna_kit.runs import Scoring


def asked(
    protocols: str, *, seeds: int = 1, pooling: Pooling = "mean", layer: int | None = None, strand: Strand = "forward",
    branch: Which | None = None, step: int | None = None, finetune: Sequence[str] = (), shuffled: bool = False,
    drop_leaked: bool = False, data: Path | None = None, device: str = "auto", without: Sequence[str] = (),
) -> Scoring:  # fmt: skip
    """What the words of a command ask for; protocols: comma-separated."""
    from findna_kit.evaluation import Asked
    from findna_kit.runs import Scoring

    names = tuple(name.strip() for name in protocols.split(","))
    return Scoring(
        Asked(names, seeds, shuffled), pooling, layer, strand, branch, step, tuple(finetune), drop_leaked, data, device,
        tuple(without),
    )  # fmt: skip


def evaluate(folder: Path, tasks: Sequence[str], scoring: Scoring, *, as_json: bool) -> None:
    """Scores a run on tasks and prints a table each."""
    from findna_kit.evaluation.table import table_rows
    from findna_kit.runs import evaluate_run

    results = evaluate_run(folder, tasks, scoring, say=loading.say)
    if as_json:
        print(json.dumps(results, indent=1))
        return
    for result in results:
        # Names of folders repeat ("0", "1"): of several tasks the path says which.
        where = "" if len(results) == 1 or result["path"] == result["task"] else f" in {result['path']}"
        for line in _about(result, where):
            print(line)
        table(table_rows(result))
        print(f"strand disagreement (0: both strands give the same, 1: as far apart as two sequences): {_strands(result)}")


def _strands(result: Mapping[str, Any]) -> str:
    from findna_kit.evaluation.table import FEATURE_NAMES, score_text

    return ", ".join(
        f"{FEATURE_NAMES[who]} {'not to be said, all embeddings are the same' if found['value'] is None else score_text(found)}"
        for who, found in result["strands"].items()
    )


def _about(result: Mapping[str, Any], where: str) -> list[str]:
    sizes = ", ".join(f"{name} {size}" for name, size in result["sizes"].items())
    layer = "" if result["layer"] is None else f" of hidden layer {result['layer']}"
    how = f"{result['pooling']} pooling{layer}, {result['strand']} strand{'s' if result['strand'] == 'both' else ''}"
    leakage = result["leakage"]
    found = f"{leakage['test_rows']} of the test rows ({leakage['share']:.1%}) are, nearly or wholly, in the other parts"
    dropped = f"; the {leakage['dropped']} are left out here" if leakage["dropped"] else ", and are scored"
    lines = [
        f"\ntask {result['task']}{where} ({sizes}); encoder: {result['branch']} at step {result['step']}, {how}",
        *(f"  {note}" for note in result["notes"]),
        *([f"  leakage: {found}{dropped}"] if leakage["test_rows"] else []),
        *(
            f"  {seen['share']:.1%} of the test sequences lie in the stretches that the run was trained on"
            for seen in leakage["trained_on"]
        ),
    ]
    return lines

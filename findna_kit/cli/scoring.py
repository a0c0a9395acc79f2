"""The command evaluate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from findna_kit.cli import loading
from findna_kit.cli.progress import table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from findna_kit.inference.frozen_model import Pooling, Strand, Which
    from findna_kit.runs import Scoring


def asked(
    protocols: str, *, seeds: int = 1, pooling: Pooling = "mean", layer: int | None = None, strand: Strand = "forward",
    branch: Which | None = None, step: int | None = None, finetune: Sequence[str] = (), shuffled: bool = False,
    drop_leaked: bool = False, data: Path | None = None, device: str = "auto", without: Sequence[str] = (),
) -> Scoring:  # fmt: skip
    """What the words of a command ask for; protocols: comma-separated."""
    from findna_kit.evaluation import EvaluationRequest
    from findna_kit.runs import Scoring

    names = tuple(name.strip() for name in protocols.split(","))
    return Scoring(
        EvaluationRequest(names, seeds, shuffled), pooling, layer, strand, branch, step, tuple(finetune), drop_leaked, data, device,
        tuple(without),
    )  # fmt: skip


def evaluate(folder: Path, tasks: Sequence[str], scoring: Scoring, *, as_json: bool) -> None:
    """Scores a run on tasks and prints a table each."""
    from findna_kit.evaluation.result_tables import about_lines, strands_text, table_rows
    from findna_kit.runs import evaluate_run

    results = evaluate_run(folder, tasks, scoring, say=loading.say)
    if as_json:
        print(json.dumps([result.to_json() for result in results], indent=1))
        return
    for result in results:
        # Names of folders repeat ("0", "1"): of several tasks the path says which.
        where = "" if len(results) == 1 or result.path == result.task else f" in {result.path}"
        first, *others = about_lines(result, where)
        print(f"\n{first}", *(f"  {line}" for line in others), sep="\n")
        table(table_rows(result))
        print(f"strand disagreement (0: both strands give the same, 1: as far apart as two sequences): {strands_text(result)}")

"""The command `evaluate`: score a run on labelled tasks, next to its controls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from findna_kit.cli.console import log, print_line, print_table
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import (
    Branch,
    Cnn,
    Device,
    DropLeaked,
    Json,
    LabelColumn,
    Layer,
    Pooling,
    RunFolder,
    ScoredStrand,
    Seeds,
    SequenceColumn,
    ShuffledLabels,
    Step,
    TaskArguments,
    TaskData,
    Wide,
    Without,
)

if TYPE_CHECKING:
    from findna_kit import evaluation, runs
    from findna_kit.evaluation import result_tables as score_tables
    from findna_kit.records.evaluation_json import TaskResult
    from findna_kit.runs import Scoring
else:
    evaluation, runs = LazyModule("findna_kit.evaluation"), LazyModule("findna_kit.runs")
    score_tables = LazyModule("findna_kit.evaluation.result_tables")


def evaluate(
    folder: RunFolder,
    tasks: TaskArguments,
    protocol: Annotated[
        str, typer.Option("--protocol", metavar="P,...", help="Use these protocols: knn, probe, few_shot, finetune.")
    ] = "knn,probe",
    seeds: Seeds = 1,
    pooling: Pooling = "mean_std",
    layer: Layer = None,
    strand: ScoredStrand = "auto",
    branch: Branch = None,
    step: Step = None,
    finetune: Annotated[
        list[str] | None,
        typer.Option("--finetune", metavar="K=V", help="Override a setting of fine-tuning, for example epochs=5. Repeatable."),
    ] = None,
    shuffled: ShuffledLabels = False,
    cnn: Cnn = False,
    drop_leaked: DropLeaked = False,
    sequence_column: SequenceColumn = None,
    label_column: LabelColumn = None,
    data: TaskData = None,
    device: Device = "auto",
    wide: Wide = False,
    as_json: Json = False,
    without: Without = None,
) -> None:
    """Score a run on labelled tasks, next to its controls.

    Predictions are stored in the run folder, and those of an earlier call are not computed again.
    """
    protocols = tuple(name.strip() for name in protocol.split(","))
    scoring = runs.Scoring(
        evaluation.EvaluationRequest(protocols, seeds, shuffled, cnn), pooling, layer, strand, branch, step,
        tuple(finetune or ()), drop_leaked, data, device, tuple(without or ()),
        sequence_column, label_column,
    )  # fmt: skip
    print_scores(folder, tasks, scoring, wide=wide, as_json=as_json)


def print_scores(
    folder: Path, tasks: Sequence[str], scoring: Scoring, *, wide: bool = False, as_json: bool = False
) -> None:  # fmt: skip
    """Score a run on tasks, and print the scores of each task."""
    print_results(runs.evaluate_run(folder, tasks, scoring, say=log), wide=wide, as_json=as_json)


def print_results(results: Sequence[TaskResult], *, wide: bool = False, as_json: bool = False) -> None:
    """Print the scores of each task."""
    if as_json:
        print(json.dumps([result.to_json() for result in results], indent=1))
        return
    # One block per task: columns of different metrics would not line up.
    for result in results:
        # Folders of several tasks may have the same name ("0", "1"); the path tells them apart.
        location = "" if len(results) == 1 or result.path == result.task else f" in {result.path}"
        first, *others = score_tables.about_lines(result, location)
        for line in (f"\n{first}", *(f"  {line}" for line in others)):
            print_line(line)
        if wide:
            print_table(score_tables.table_rows(result))
        else:
            _print_main_columns(result)
        if kmers := score_tables.kmers_text(result):
            print_line(kmers)
        print_line(
            "strand disagreement (0: both strands give the same embedding, 1: as different as two sequences): "
            f"{score_tables.strands_text(result)}"
        )


def _print_main_columns(result: TaskResult) -> None:
    """Print a table for each protocol: features, score with interval, and the difference to the encoder with its verdict."""
    # Columns: protocol, features, seeds, chosen hyperparameters, the task's metric, other scores, difference to the encoder.
    (_, _, _, _, metric, *_, difference), *rows = score_tables.table_rows(result)
    # The protocol becomes the title of the first column: a column of its own would not fit 80 columns.
    for number, (protocol, group) in enumerate(groupby(rows, key=lambda row: row[0])):
        print("\n" * (number > 0), end="")
        print_table([[protocol, metric, difference], *([row[1], row[4], row[-1]] for row in group)])

"""The command `tasks audit`: leakage between the splits of a task, and from pretraining."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from findna_kit.cli.console import log, print_line, print_table
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Json, LabelColumn, SequenceColumn, TaskArguments, TaskData, Without

if TYPE_CHECKING:
    from findna_kit import evaluation
    from findna_kit.api import progress
    from findna_kit.evaluation import leakage
    from findna_kit.evaluation import result_tables as score_tables
    from findna_kit.records.audit_json import AuditReport
    from findna_kit.runs import leakage as run_leakage
else:
    evaluation, progress = LazyModule("findna_kit.evaluation"), LazyModule("findna_kit.api.progress")
    leakage, run_leakage = LazyModule("findna_kit.evaluation.leakage"), LazyModule("findna_kit.runs.leakage")
    score_tables = LazyModule("findna_kit.evaluation.result_tables")

FOUND_SOMETHING = 3
"""Exit code of --strict when the audit found something."""


def audit_tasks(
    tasks: TaskArguments,
    run: Annotated[
        Path | None, typer.Option("--run", metavar="RUN", help="Search for test sequences in the training data of this run.")
    ] = None,
    genome: Annotated[
        Path | None,
        typer.Option("--genome", metavar="FASTA", help="Search in this genome, or name the new location of the run's genome."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 3 if anything is found.")] = False,
    sequence_column: SequenceColumn = None,
    label_column: LabelColumn = None,
    data: TaskData = None,
    as_json: Json = False,
    without: Without = None,
) -> None:
    """Search for test sequences of a task in its other splits, in the training data of a run or in a genome.

    Reported are copies, reverse complements, near copies and contradicting labels.
    """
    loaded = [evaluation.load_task(task, data, sequence_column, label_column) for task in tasks]
    with progress.reading_bar() as reading:
        reports = run_leakage.audit_tasks(loaded, run=run, genome=genome, without=without or [], say=log, reading=reading)
    if as_json:
        print(json.dumps([report.to_json() for report in reports], indent=1))
    else:
        for number, report in enumerate(reports):
            print("\n" * (number > 0), end="")
            _print_report(report)
    leaking = [report.path for report in reports if leakage.has_findings(report)]
    if strict and leaking:
        log(f"--strict: something was found in {', '.join(leaking)}")
        raise typer.Exit(FOUND_SOMETHING)


def _print_report(report: AuditReport) -> None:
    """Print the sizes and notes of a task, the table of findings between its splits, and the other findings."""
    print_line(f"{report.path}: {', '.join(f'{split} {size:,}' for split, size in report.sizes.items())}")
    for note in report.notes:
        print_line(f"note: {note}")
    print_table(score_tables.audit_rows(report))
    for line in score_tables.audit_lines(report):
        print_line(line)

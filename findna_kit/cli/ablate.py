"""The command `ablate`: run an ablation study and print its result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from findna_kit.cli.completion import complete_study
from findna_kit.cli.console import log, print_line, print_table
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Device, Json, Wide, Without
from findna_kit.cli.tables import select

if TYPE_CHECKING:
    from findna_kit.api import studies, study_progress
    from findna_kit.study import tables
    from findna_kit.study.executors import local
    from findna_kit.study.files import StudyResult
    from findna_kit.study.run import AblationState
else:
    studies, study_progress = LazyModule("findna_kit.api.studies"), LazyModule("findna_kit.api.study_progress")
    tables, local = LazyModule("findna_kit.study.tables"), LazyModule("findna_kit.study.executors.local")

UNFINISHED = 3
"""Exit code when cells of the study have not finished or failed."""


def ablate(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", autocompletion=complete_study, help="Path of a study, or name of a shipped one.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write the study to this folder. [default: studies/NAME]")
    ] = None,
    executor: Annotated[
        Literal["local", "slurm"], typer.Option("--executor", help="Run the cells on this machine, or as jobs of Slurm.")
    ] = "local",
    jobs: Annotated[
        int, typer.Option("--jobs", metavar="N", min=1, help="Run, or keep in the queue, this number of cells at a time.")
    ] = 1,
    slurm: Annotated[
        list[str] | None,
        typer.Option("--slurm", metavar="K=V", help="Set an option of Slurm, for example time=2:00:00. Repeatable."),
    ] = None,
    device: Device = "auto",
    retry: Annotated[bool, typer.Option("--retry", help="Run the cells that failed before again.")] = False,
    wide: Wide = False,
    as_json: Json = False,
    without: Without = None,
) -> None:
    """Run the missing cells of an ablation study and print its result.

    The exit code is 3 when cells have not finished, or failed: conditions without a failed cell are compared all the same.
    """
    # First of all, so that a mistake in the options of the executor is reported before plugins are imported.
    selected = studies.executor_of(executor, slurm or [])
    progress = studies.run_study(study, out, local.ExecutionOptions(jobs, device, tuple(without or ()), retry), selected)
    if progress.result is not None:
        if as_json:
            print(json.dumps(progress.result.plain(), indent=1))
        else:
            _print_result(progress.folder, progress.result, wide=wide)
    if progress.result is None or progress.failed:
        _log_unfinished(progress)
        # The exit code lets a script call the same command again until the study is complete.
        raise typer.Exit(UNFINISHED)


def _log_unfinished(progress: AblationState) -> None:
    """Log each cell that failed or was ended, and the number of cells in each state."""
    for cell, reason in progress.failed.items():
        log(f"{cell}: {reason} (the whole log is {progress.folder / cell}/log.txt; --retry runs it again)")
    for cell, name in progress.killed.items():
        log(f"{cell}: was ended by {name}; the same command continues it")
    log(f"{progress.folder}: {study_progress.counts_text(progress.states)}")


def _print_result(folder: Path, result: StudyResult, *, wide: bool) -> None:
    """Print the conditions with scores, difference and verdict, and the main effects of a factorial study."""
    # Columns of the conditions: name, seeds, steps, a score for each task, difference, p, adjusted p, Hedges' g, verdict.
    # Columns of the main effects: name, difference, p, adjusted p, Hedges' g, verdict.
    tasks = range(3, 3 + len(result.tasks))
    main_columns = [[0, *tasks, tasks.stop, -1], [0, 1, -1]]
    # Not strict, because only a factorial study has the second table.
    for number, (rows, columns) in enumerate(zip(tables.tables(result), main_columns, strict=False)):
        print("\n" * (number > 0), end="")
        print_table(rows if wide else select(rows, *columns))
    for name, reason in (result.failed or {}).items():
        print_line(f"\n{name} is not compared: {reason}")
    if result.search is not None:
        print_line(f"\nevery condition has {result.search.words}")
    print_line(f"\n{folder}: the folder of the study; result.json, .csv, .md and .tex hold all columns of this table")

"""Commands about labelled tasks: tasks list, tasks audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from findna_kit.cli import loading
from findna_kit.cli.progress import reading_bar, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.evaluation.tasks import ShippedTask
    from findna_kit.records.audit_json import AuditReport

FOUND_SOMETHING = 3


def listing(data: Path | None, *, as_json: bool) -> None:
    """Every shipped task, whether its data are there, and where else they were looked for."""
    from findna_kit.evaluation.tasks import DATA_VARIABLE, shipped_tasks
    from findna_kit.evaluation.tasks.shipped_tasks import data_folder

    where = data_folder(data)
    described = [_described(task, where) for task in shipped_tasks().values()]
    if as_json:
        print(json.dumps(described, indent=1))
        return
    columns = ("name", "suite", "status", "metric", "length", "classes")
    there = ["there" if one["there"] else f"not there: {_first(one['looked_for'], where)}" for one in described]
    rows = [[*(str(one[key]) for key in columns), last] for one, last in zip(described, there, strict=True)]
    table([["task", *columns[1:], "data"], *rows])
    named = f"in {where}" if where else f"in no folder of yours: name it with --data DIR or {DATA_VARIABLE}"
    loading.say(f"data were looked for {named}; `builtin`, a folder and a task file (.yaml) are tasks too")
    if not all(one["there"] for one in described):
        loading.say("where absent ones are published: findna-kit tasks list --json")


def _first(places: Sequence[str], base: Path | None) -> str:
    """The first of the places, from the data folder, and how many more there are."""
    from findna_kit.evaluation.tasks.load import NO_FOLDER

    first = Path(places[0])
    below = base or NO_FOLDER
    shown = first.relative_to(below) if first.is_relative_to(below) else first
    return f"{shown} and {len(places) - 1} more" if len(places) > 1 else str(shown)


def _described(task: ShippedTask, where: Path | None) -> dict[str, Any]:
    from findna_kit.evaluation.tasks.load import LocatedTaskFile

    file = task.read()
    missing = LocatedTaskFile(task.name, where, file).missing()
    return {
        "name": task.name,
        **(file.published.model_dump() if file.published else {}),
        "metric": file.metric,
        "length": file.length,
        "classes": file.classes,
        "finetune": None if file.finetune is None else file.finetune.model_dump(),
        "there": not missing,
        "looked_for": [str(path) for path in missing],
        "file": str(task.file),
    }


def audit(
    tasks: Sequence[str], *, run: Path | None, genome: Path | None, data: Path | None, strict: bool, as_json: bool,
    without: Sequence[str],
) -> None:  # fmt: skip
    """What of each task's test part its other parts, or a genome, have already. Exit code 3 if `strict` and there is any."""
    from findna_kit.evaluation import load_task
    from findna_kit.evaluation.leakage import has_findings
    from findna_kit.runs.leakage import audit_tasks

    loaded = [load_task(task, data) for task in tasks]
    with reading_bar() as reading:
        reports = audit_tasks(loaded, run=run, genome=genome, without=without, say=loading.say, reading=reading)
    if as_json:
        print(json.dumps([report.to_json() for report in reports], indent=1))
    else:
        for number, report in enumerate(reports):
            print("\n" * (number > 0), end="")
            _tell(report)
    found = [report.path for report in reports if has_findings(report)]
    if strict and found:
        loading.say(f"--strict: something was found in {', '.join(found)}")
        raise typer.Exit(FOUND_SOMETHING)


def _tell(report: AuditReport) -> None:
    from findna_kit.evaluation.result_tables import audit_lines, audit_rows

    print(f"{report.path}: {', '.join(f'{part} {size:,}' for part, size in report.sizes.items())}")
    for note in report.notes:
        print(f"note: {note}")
    table(audit_rows(report))
    print(*audit_lines(report), sep="\n")

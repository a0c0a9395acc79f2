"""Commands about labelled tasks: tasks list, tasks audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from findna_kit.cli import loading
from findna_kit.cli.progress import reading_bar, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from findna_kit.evaluation.tasks import Shipped

FOUND_SOMETHING = 3
_KINDS = {"same": "same", "reverse_complement": "other strand", "near": "near"}


def listing(data: Path | None, *, as_json: bool) -> None:
    """Every shipped task, whether its data are there, and where else they were looked for."""
    from findna_kit.evaluation.tasks import DATA_VARIABLE, shipped_tasks
    from findna_kit.evaluation.tasks.shipped import data_folder

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


def _described(task: Shipped, where: Path | None) -> dict[str, Any]:
    from findna_kit.evaluation.tasks.load import Place

    file = task.described()
    missing = Place(task.name, where, file).missing()
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
    from findna_kit.evaluation.audit import has_findings
    from findna_kit.runs.auditing import audit_tasks

    loaded = [load_task(task, data) for task in tasks]
    with reading_bar() as reading:
        reports = audit_tasks(loaded, run=run, genome=genome, without=without, say=loading.say, reading=reading)
    if as_json:
        print(json.dumps(reports, indent=1))
    else:
        for number, report in enumerate(reports):
            print("\n" * (number > 0), end="")
            _tell(report)
    found = [report["path"] for report in reports if has_findings(report)]
    if strict and found:
        loading.say(f"--strict: something was found in {', '.join(found)}")
        raise typer.Exit(FOUND_SOMETHING)


def _tell(report: Mapping[str, Any]) -> None:
    sizes = report["sizes"]
    print(f"{report['path']}: {', '.join(f'{part} {size:,}' for part, size in sizes.items())}")
    for note in report["notes"]:
        print(f"note: {note}")
    rows = [["rows of", "found in", *_KINDS.values(), "of another label", "in all", "not compared"]]
    for pair in report["between"]:
        counts = [f"{len(pair['rows'][kind]):,}" for kind in _KINDS]
        counts.append(f"{pair['near_with_another_label']:,}")
        rows.append([pair["rows_of"], pair["found_in"], *counts, f"{pair['share']:.1%}", f"{pair['not_compared']:,}"])
    table(rows)
    print(f"repeated inside: {', '.join(f'{part} {count:,}' for part, count in report['repeats'].items())}")
    conflicting = report["conflicting"]
    print(f"sequences with more than one label: {conflicting['sequences']:,}, in {_rows(conflicting['rows'])} rows")
    leaked = report["leaked"]
    print(f"test rows found in the other parts: {len(leaked['rows']):,} of {sizes['test']:,} ({leaked['share']:.1%})")
    for seen in report["trained_on"]:
        print(f"test rows in what {report['run']} was trained on: {_seen(seen, sizes['test'])}")
    for seen in report["lies_in"]:
        print(f"test rows that lie in a genome: {_seen(seen, sizes['test'])}")
    for sentence in report["unknown"]:
        print(f"not known: {sentence}")
    print(_method(report))


def _rows(rows: Mapping[str, Sequence[int]]) -> str:
    return f"{sum(map(len, rows.values())):,}"


def _seen(seen: Mapping[str, Any], rows: int) -> str:
    compared = rows - seen["not_compared"]
    lacking = f"; {seen['not_compared']:,} could not be looked for" if seen["not_compared"] else ""
    share = f" ({seen['share']:.1%})" if compared else ""
    return f"{len(seen['rows']):,} of {compared:,}{share}, in {seen['bases']:,} bases of {seen['path']}{lacking}"


def _method(report: Mapping[str, Any]) -> str:
    """How it was compared, and what that cannot see."""
    method = report["method"]
    told = (
        f"near: shares {method['near']:.0%} or more of the {method['k']}-mers ({method['sampled']} is looked at) of the "
        "shorter one, on either strand; of another label: near ones whose nearest row has another; not compared: has fewer "
        f"than {method['least_shared']} of them, so only exact copies were looked for"
    )
    if report["trained_on"] or report["lies_in"]:
        k = (report["trained_on"] or report["lies_in"])[0]["k"]
        told += f"; in a genome: half or more of a row's {k}-mers; one with none, or with N in each, cannot be looked for"
    return told

"""The command `runs list`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from findna_kit.cli.console import log, print_table
from findna_kit.cli.options import Csv, Json, RunsBelow, Wide
from findna_kit.cli.runs.formats import number_text, output_format, value_text, write_csv
from findna_kit.cli.tables import select
from findna_kit.errors import FindnaError, nearest
from findna_kit.metrics.names import validation_metric
from findna_kit.records.listing import STATUSES, Entry, entries_below
from findna_kit.records.selection import metric_names

Order = Literal["run", "name", "status", "seed", "steps", "metric", "time", "when"]

_CSV_COLUMNS = ("run", "name", "status", "seed", "step", "steps", "training_seconds", "when", "reason")
_MAIN_COLUMNS = (0, 1, 2, 3, 4)
"""Run, status, seed, step, and the validation loss or the metric of --metric."""


def list_runs(
    folder: RunsBelow = Path("runs"),
    metric: Annotated[
        str | None,
        typer.Option("--metric", metavar="NAME", help="Print this metric of metrics.jsonl. [default: the validation losses]"),
    ] = None,
    status: Annotated[
        str | None, typer.Option("--status", metavar="S,...", help="List only runs with these statuses: finished, running, ...")
    ] = None,
    sort: Annotated[Order, typer.Option("--sort", help="Sort by this column; unknown values come last.")] = "run",
    reverse: Annotated[bool, typer.Option("--reverse", help="Sort in descending order.")] = False,
    wide: Wide = False,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List runs with their status, progress and scores.

    Scores on test sequences, training time and date are printed with --wide.
    """
    form = output_format(as_csv=as_csv, as_json=as_json)
    statuses = _statuses(status)
    if sort == "metric" and metric is None:
        raise FindnaError("--sort metric: name the metric with --metric")
    everything = entries_below(folder, metric)
    entries = _sort([entry for entry in everything if entry.status in statuses], sort, reverse=reverse)
    if metric is not None and all(entry.metric is None for entry in everything):
        log(f"no run there has a number for {metric}{nearest(metric, metric_names(everything))}")
    if form == "json":
        print(json.dumps([_record(entry, metric) for entry in entries], indent=1))
    elif form == "csv":
        write_csv([_cells(entry, metric) for entry in entries], [*_CSV_COLUMNS, *([metric] if metric else [])])
    else:
        _print(entries, metric, wide=wide)
        others = len(everything) - len(entries)
        log(f"{folder}: {len(entries)} runs" + (f", and {others} with another status" if others else ""))


def _statuses(status: str | None) -> Sequence[str]:
    """Return the statuses of --status, or all. Raises FindnaError for an unknown one."""
    names = STATUSES if status is None else tuple(name.strip() for name in status.split(","))
    if unknown := [name for name in names if name not in STATUSES]:
        raise FindnaError(
            f"--status {unknown[0]}: is not the status of a run{nearest(unknown[0], STATUSES)} (known: {', '.join(STATUSES)})"
        )
    return names


def _sort(entries: Sequence[Entry], by: str, *, reverse: bool) -> list[Entry]:
    """Sort the runs; those whose value is unknown come last in both directions."""

    def key(entry: Entry) -> Any:
        values = {"time": entry.seconds, "run": str(entry.run)}
        return values[by] if by in values else getattr(entry, by)

    # None cannot be compared with numbers, and must not move to the top when the order is reversed.
    known = sorted((entry for entry in entries if key(entry) is not None), key=key, reverse=reverse)
    return [*known, *(entry for entry in entries if key(entry) is None)]


def _base(entry: Entry) -> dict[str, object]:
    """Return what JSON and CSV have in common."""
    return {
        "run": str(entry.run), "name": entry.name, "status": entry.status, "reason": entry.reason, "seed": entry.seed,
        "step": entry.step, "steps": entry.steps, "training_seconds": entry.seconds,
        "when": None if entry.when is None else entry.when.isoformat(timespec="seconds"),
    }  # fmt: skip


def _record(entry: Entry, metric: str | None) -> dict[str, object]:
    """Return the run as JSON."""
    scores = {score.name: {"value": score.value, "low": score.low, "high": score.high} for score in entry.scores}
    return {**_base(entry), "held_out": entry.held_out, **({metric: entry.metric} if metric else {}), "scores": scores}


def _cells(entry: Entry, metric: str | None) -> dict[str, object]:
    """Return the run as a row of the CSV, with each number in its own cell."""
    cells: dict[str, object] = {**_base(entry), **({metric: entry.metric} if metric else {})}
    cells |= {validation_metric(label, "loss"): value for label, value in entry.held_out.items()}
    for score in entry.scores:
        cells |= {score.name: score.value, f"{score.name}/low": score.low, f"{score.name}/high": score.high}
    return cells


def _print(entries: Sequence[Entry], metric: str | None, *, wide: bool) -> None:
    """Print the table of runs, and log why a run is broken."""
    if not entries:
        return
    header = ["run", "status", "seed", "step", metric or "validation loss", "scores on test sequences", "training", "when"]
    rows = [header, *(_row(entry, metric) for entry in entries)]
    print_table(rows if wide else select(rows, *_MAIN_COLUMNS))
    for entry in entries:
        if entry.status == "broken":
            log(f"{entry.run}: {entry.reason}")


def _row(entry: Entry, metric: str | None) -> list[str]:
    """Return the row of a run with all columns of --wide."""
    losses = [f"{label} {number_text(value)}" for label, value in entry.held_out.items()]
    scores: dict[str, list[str]] = {}
    for score in entry.scores:
        scores.setdefault(f"{score.task} {score.score}", []).append(f"{score.protocol} {score.value:.3f}")
    return [
        str(entry.run), entry.status, value_text(entry.seed), f"{value_text(entry.step)} of {value_text(entry.steps)}",
        number_text(entry.metric) if metric else ", ".join(losses) or "-",
        "; ".join(f"{task}: {', '.join(values)}" for task, values in scores.items()) or "-",
        "-" if entry.seconds is None else f"{entry.seconds:,.0f} s",
        "-" if entry.when is None else f"{entry.when:%Y-%m-%d %H:%M}",
    ]  # fmt: skip

"""The command `runs best`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from findna_kit.cli.console import log, print_line, print_table
from findna_kit.cli.options import Csv, Json, RunsBelow, Wide
from findna_kit.cli.runs.formats import output_format, value_text, write_csv
from findna_kit.records.selection import choose, criterion

if TYPE_CHECKING:
    from findna_kit.records.selection import Choice


def best_run(
    metric: Annotated[
        str, typer.Option("--metric", metavar="NAME", help="Metric on validation windows or on validation sequences of a task.")
    ],
    folder: RunsBelow = Path("runs"),
    maximise: Annotated[
        bool | None,
        typer.Option("--maximise/--minimise", help="State which is better, for a metric that the kit does not know."),
    ] = None,
    wide: Wide = False,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """Find the finished run with the best value of a validation metric.

    A score on test sequences is refused: selecting by it would make it optimistic. --wide prints every run that was compared.
    """
    form = output_format(as_csv=as_csv, as_json=as_json)
    by = criterion(metric, maximise)
    choice = choose(folder, by)
    (best, value), *others = choice.ranked
    ranked = [{"run": str(entry.run), "seed": entry.seed, metric: number} for entry, number in choice.ranked]
    if form == "json":
        result = {"best": str(best.run), "metric": metric, "maximise": by.maximise, "compared": ranked}
        print(json.dumps({**result, "left_out": choice.left_out, "held_out_parts": choice.held_outs}, indent=1))
    elif form == "csv":
        write_csv(ranked, ["run", "seed", metric])
    elif wide:
        rows = [[str(entry.run), value_text(entry.seed), f"{number:.6g}"] for entry, number in choice.ranked]
        print_table([["run", "seed", metric], *rows])
    else:
        print_line(f"{best.run}: {metric} {value:.6g}, seed {value_text(best.seed)}, {value_text(best.steps)} steps")
        for entry, number in others[:1]:
            print_line(f"next: {entry.run}: {number:.6g}{' (the same)' if number == value else ''}")
    _log_remarks(choice, by.words)


def _log_remarks(choice: Choice, criterion_text: str) -> None:
    """Log what was compared and left out, and what limits the comparison."""
    left_out = ", ".join(f"{count} {reason}" for reason, count in choice.left_out.items())
    log(
        f"{len(choice.ranked)} finished runs compared by {criterion_text}, at the last validation of each"
        + (f"; left out: {left_out}" if left_out else "")
    )
    if choice.held_outs > 1:
        log(f"the validation windows come from {choice.held_outs} different genomes or splits: they are not comparable")
    if len(choice.ranked) > 1:
        log("the value of the best of several runs is optimistic, and each run has one seed: use ablate to test a change")

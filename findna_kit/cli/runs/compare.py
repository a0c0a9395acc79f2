"""The command `runs compare`."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from findna_kit.cli.console import log, print_line, print_table
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Csv, Json, Wide
from findna_kit.cli.runs.formats import number_text, output_format, value_text
from findna_kit.metrics.names import BASELINE, TASK, VALIDATION_SPLIT
from findna_kit.records.comparison import compare
from findna_kit.records.evaluation_json import ScoreInterval

if TYPE_CHECKING:
    from findna_kit.evaluation import result_tables as score_tables
else:
    score_tables = LazyModule("findna_kit.evaluation.result_tables")

_MAIN_METRICS = (*VALIDATION_SPLIT, TASK, BASELINE)
"""Prefixes of the metrics that are printed by default: those of validation, not of training."""


def compare_runs(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Folders of two or more runs.")],
    wide: Wide = False,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """Compare runs: differences in recipe and versions, metrics, and scores with their controls.

    By default only the metrics of validation are printed; --wide adds those of training.
    """
    form = output_format(as_csv=as_csv, as_json=as_json)
    comparison = compare(runs)
    if form == "json":
        print(json.dumps(comparison, indent=1))
    elif form == "csv":
        _write_csv(comparison)
    else:
        _print(comparison, wide=wide)
    for remark in comparison["remarks"]:
        log(remark)


def _write_csv(comparison: Mapping[str, Any]) -> None:
    """Write a row for each value of each section, and for each score."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["what", *comparison["runs"]])
    for title, rows in _sections(comparison).items():
        # The titles are part of the CSV, which programs read; they are those of version 0.1.
        writer.writerows([f"{title}: {name}", *cells] for name, *cells in rows)
    writer.writerows(
        [f"score on test rows: {score['path']}: {_score_name(score)}", *map(_score_text, score["values"])]
        for score in comparison["scores"]
    )


def _print(comparison: Mapping[str, Any], *, wide: bool) -> None:
    """Print a table for each section, with a column for each run."""
    metrics = {name: values for name, values in comparison["metrics"].items() if wide or name.startswith(_MAIN_METRICS)}
    for number, (title, rows) in enumerate(_sections({**comparison, "metrics": metrics}).items()):
        print("\n" * (number > 0), end="")
        print_table([[title, *comparison["runs"]], *rows] if rows else [[f"{title}: none"]])
    if not comparison["scores"]:
        print_line("\nscore on test sequences: none")
    for (path, protocol), scores in groupby(comparison["scores"], key=lambda score: (score["path"], score["protocol"])):
        group = list(scores)
        print_line(f"\n{path}: {score_tables.protocol_name(protocol)}, {group[0]['score']} on test sequences")
        rows = [[score_tables.FEATURE_NAMES[score["who"]], *map(_score_text, score["values"])] for score in group]
        print_table([["features", *comparison["runs"]], *rows])
    for difference in comparison["differences"]:
        conditions = f"{difference['condition']} minus {difference['minus']}, {difference['seeds']} seeds"
        print_line(f"\n{difference['study']}: {conditions}: {_effect_text(difference)}")


def _sections(comparison: Mapping[str, Any]) -> dict[str, list[list[str]]]:
    """Return the rows of each section by its title; a row is a name and a value for each run."""
    runs = {name: comparison[name] for name in ("status", "step", "training_seconds")}
    # Twelve digits of a digest tell genomes apart and fit a column; genomes are a row only where they differ.
    digests = [[(digest or "-")[:12] for digest in each] for each in comparison["genomes"]]
    if any(each != digests[0] for each in digests):
        runs["genome"] = [" ".join(each) or "not known" for each in digests]
    return {
        "run": [[name, *map(value_text, values)] for name, values in runs.items()],
        "recipe": [[name, *map(_recipe_text, values)] for name, values in comparison["recipes"].items()],
        "made with": [[name, *map(value_text, values)] for name, values in comparison["versions"].items()],
        "metric": [[name, *(number_text(value, 5) for value in values)] for name, values in comparison["metrics"].items()],
    }


def _recipe_text(value: str | None) -> str:
    """Return a value of a recipe; a key may be stated in one recipe only."""
    return "not stated" if value is None else value


def _score_name(score: Mapping[str, str]) -> str:
    """Return the name of a score in the CSV, such as `k-NN, encoder, mcc`."""
    protocol, features = score_tables.protocol_name(score["protocol"]), score_tables.FEATURE_NAMES[score["who"]]
    return f"{protocol}, {features}, {score['score']}"


def _score_text(value: Mapping[str, float] | None) -> str:
    """Return a score with its interval, or `-` for a run without it."""
    return "-" if value is None else score_tables.score_text(ScoreInterval.model_validate(value))


def _effect_text(difference: Mapping[str, Any]) -> str:
    """Return a difference between conditions with its interval, adjusted p and verdict."""
    effect = difference["overall"]
    interval = "" if effect["low"] is None else f" [{effect['low']:+.3f}, {effect['high']:+.3f}]"
    return f"{effect['value']:+.3f}{interval}, adjusted p {difference['adjusted']:.3g}: {difference['verdict']}"

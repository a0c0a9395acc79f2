"""What runs compare prints."""

from __future__ import annotations

import csv
import json
import sys
from typing import TYPE_CHECKING, Any

from findna_kit.cli import loading
from findna_kit.cli.progress import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from findna_kit.cli.listing import Form

_SHOWN = ("held_out/", "held_out_plain/", "collapse/", "evaluation/", "baseline/")
"""Of metrics, on a page: what is said of held-out windows and validation rows."""


def compare(runs: Sequence[Path], *, form: Form) -> None:
    """Runs side by side."""
    from findna_kit.records.comparison import compare

    found = compare(runs)
    if form == "json":
        print(json.dumps(found, indent=1))
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["what", *found["runs"]])
        for title, rows in _parts(found).items():
            writer.writerows([f"{title}: {name}", *cells] for name, *cells in rows)
    else:
        shown = {name: values for name, values in found["metrics"].items() if name.startswith(_SHOWN)}
        for number, (title, rows) in enumerate(_parts({**found, "metrics": shown}).items()):
            print("\n" * (number > 0), end="")
            table([[title, *found["runs"]], *rows] if rows else [[f"{title}: none"]])
        for one in found["differences"]:
            print(f"\n{one['study']}: {one['condition']} minus {one['minus']}, {one['seeds']} seeds: {_effect(one)}")
    for remark in found["remarks"]:
        loading.say(remark)


def _parts(found: Mapping[str, Any]) -> dict[str, list[list[str]]]:
    """Rows by what they are of, their names first."""
    how = {name: found[name] for name in ("status", "step", "training_seconds")}
    digests = [[(digest or "-")[:12] for digest in one] for one in found["genomes"]]
    if any(one != digests[0] for one in digests):
        how["genome"] = [" ".join(one) or "not known" for one in digests]
    return {
        "run": [[name, *map(_cell, values)] for name, values in how.items()],
        "recipe": [[name, *map(_stated, values)] for name, values in found["recipes"].items()],
        "made with": [[name, *map(_cell, values)] for name, values in found["versions"].items()],
        "metric": [[name, *map(_number, values)] for name, values in found["metrics"].items()],
        "score on test rows": [[f"{row['path']}: {_of(row)}", *map(_score, row["values"])] for row in found["scores"]],
    }


def _of(row: Mapping[str, str]) -> str:
    from findna_kit.evaluation.result_tables import FEATURE_NAMES, protocol_name

    return f"{protocol_name(row['protocol'])}, {FEATURE_NAMES[row['who']]}, {row['score']}"


def _stated(value: str | None) -> str:
    return "not stated" if value is None else value


def _cell(value: Any) -> str:
    return "-" if value is None else str(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"


def _score(value: Mapping[str, float] | None) -> str:
    from findna_kit.evaluation.result_tables import score_text
    from findna_kit.records.evaluation_json import ScoreInterval

    return "-" if value is None else score_text(ScoreInterval.model_validate(value))


def _effect(one: Mapping[str, Any]) -> str:
    found = one["overall"]
    interval = "" if found["low"] is None else f" [{found['low']:+.3f}, {found['high']:+.3f}]"
    return f"{found['value']:+.3f}{interval}, adjusted p {one['adjusted']:.3g}: {one['verdict']}"

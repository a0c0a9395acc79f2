"""What runs list and runs best print."""

from __future__ import annotations

import csv
import json
import sys
from typing import TYPE_CHECKING, Any, Literal

from findna_kit.cli import loading
from findna_kit.cli.progress import table
from findna_kit.errors import FindnaError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from findna_kit.records.listing import Entry

Form = Literal["text", "csv", "json"]
_HEAD = ("run", "name", "status", "seed", "step", "steps", "training_seconds", "when", "reason")


def form(*, as_csv: bool, as_json: bool) -> Form:
    """What is asked for; FindnaError for both."""
    if as_csv and as_json:
        raise FindnaError("--csv and --json are two forms of one result: give one of them")
    return "csv" if as_csv else "json" if as_json else "text"


def listing(folder: Path, metric: str | None, status: str | None, sort: str, *, reverse: bool, form: Form) -> None:
    """Every run below a folder that has one of the statuses."""
    from findna_kit.records.listing import entries_below

    wanted = _statuses(status)
    if sort == "metric" and metric is None:
        raise FindnaError("--sort metric: say which, by --metric")
    found = entries_below(folder, metric)
    entries = [entry for entry in found if entry.status in wanted]
    if metric is not None and all(entry.metric is None for entry in found):
        loading.say(f"no run there has a number for {metric}{_near(metric, found)}")
    entries = _sorted(entries, sort, reverse=reverse)
    if form == "json":
        print(json.dumps([_described(entry, metric) for entry in entries], indent=1))
    elif form == "csv":
        _write_csv([_flat(_described(entry, metric)) for entry in entries], [*_HEAD, *([metric] if metric else [])])
    elif entries:
        table([[*_COLUMNS[:4], metric or "held-out loss", *_COLUMNS[4:]], *(_row(entry, metric) for entry in entries)])
        for entry in entries:
            if entry.status == "broken":
                loading.say(f"{entry.run}: {entry.reason}")
    if form == "text":
        hidden = len(found) - len(entries)
        loading.say(f"{folder}: {len(entries)} runs" + (f", and {hidden} of another status" if hidden else ""))


_COLUMNS = ("run", "status", "seed", "step", "scores on test rows", "training", "when")


def _row(entry: Entry, metric: str | None) -> list[str]:
    losses = [f"{label} {_number(value)}" for label, value in entry.held_out.items()]
    scores: dict[str, list[str]] = {}
    for one in entry.scores:
        scores.setdefault(f"{one.task} {one.score}", []).append(f"{one.protocol} {one.value:.3f}")
    return [
        str(entry.run), entry.status, _text(entry.seed), f"{_text(entry.step)} of {_text(entry.steps)}",
        _number(entry.metric) if metric else ", ".join(losses) or "-",
        "; ".join(f"{task}: {', '.join(each)}" for task, each in scores.items()) or "-",
        "-" if entry.seconds is None else f"{entry.seconds:,.0f} s",
        "-" if entry.when is None else f"{entry.when:%Y-%m-%d %H:%M}",
    ]  # fmt: skip


def _text(value: Any) -> str:
    return "-" if value is None else str(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _statuses(status: str | None) -> Sequence[str]:
    from findna_kit.records.listing import STATUSES

    names = STATUSES if status is None else tuple(name.strip() for name in status.split(","))
    if unknown := [name for name in names if name not in STATUSES]:
        raise FindnaError(
            f"--status {unknown[0]}: no run has that{nearest(unknown[0], STATUSES)} (known: {', '.join(STATUSES)})"
        )
    return names


def _near(metric: str, entries: Sequence[Entry]) -> str:
    from findna_kit.records.selection import metric_names

    return nearest(metric, metric_names(entries))


def _sorted(entries: Sequence[Entry], by: str, *, reverse: bool) -> list[Entry]:
    def key(entry: Entry) -> Any:
        values = {"time": entry.seconds, "run": str(entry.run)}
        return values[by] if by in values else getattr(entry, by)

    there = sorted((entry for entry in entries if key(entry) is not None), key=key, reverse=reverse)
    return [*there, *(entry for entry in entries if key(entry) is None)]


def _described(entry: Entry, metric: str | None) -> dict[str, Any]:
    """Ready for JSON."""
    return {
        "run": str(entry.run), "name": entry.name, "status": entry.status, "reason": entry.reason, "seed": entry.seed,
        "step": entry.step, "steps": entry.steps, "training_seconds": entry.seconds,
        "when": None if entry.when is None else entry.when.isoformat(timespec="seconds"),
        "held_out": entry.held_out, **({metric: entry.metric} if metric else {}),
        "scores": {one.name: {"value": one.value, "low": one.low, "high": one.high} for one in entry.scores},
    }  # fmt: skip


def _flat(described: Mapping[str, Any]) -> dict[str, Any]:
    """Each number in a cell of its own."""
    cells = {name: value for name, value in described.items() if name not in ("held_out", "scores")}
    cells |= {f"held_out/{label}/loss": value for label, value in described["held_out"].items()}
    for name, score in described["scores"].items():
        cells |= {name: score["value"], f"{name}/low": score["low"], f"{name}/high": score["high"]}
    return cells


def _write_csv(rows: Sequence[Mapping[str, Any]], first: Sequence[str]) -> None:
    """The columns of all rows, those named first before the others; what a row has not is an empty cell."""
    columns = list(dict.fromkeys([*first, *(name for row in rows for name in row)]))
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def best(folder: Path, metric: str, maximise: bool | None, *, form: Form) -> None:
    """The best run, by what, and of how many."""
    from findna_kit.records.selection import choose, criterion

    by = criterion(metric, maximise)
    choice = choose(folder, by)
    (first, value), *others = choice.ranked
    ranked = [{"run": str(entry.run), "seed": entry.seed, metric: number} for entry, number in choice.ranked]
    if form == "json":
        result = {"best": str(first.run), "metric": metric, "maximise": by.maximise, "compared": ranked}
        print(json.dumps({**result, "left_out": choice.left_out, "held_out_parts": choice.held_outs}, indent=1))
    elif form == "csv":
        _write_csv(ranked, ["run", "seed", metric])
    else:
        print(f"{first.run}: {metric} {value:.6g}, seed {_text(first.seed)}, {_text(first.steps)} steps")
        for entry, number in others[:1]:
            print(f"next: {entry.run}: {number:.6g}{' (the same)' if number == value else ''}")
    left = ", ".join(f"{count} {why}" for why, count in choice.left_out.items())
    loading.say(
        f"{len(ranked)} finished runs compared by {by.words}, at the newest row of each"
        + (f"; left out: {left}" if left else "")
    )
    if choice.held_outs > 1:
        loading.say(
            f"they were held out from {choice.held_outs} different genomes or parts of them: such numbers are not of one thing"
        )
    if others:
        loading.say(
            "the best of several looks better than it is, and one seed of each was looked at: ablate says what a change does"
        )

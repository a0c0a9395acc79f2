"""Every run below a folder, each told by its own files alone; one that is broken is an entry as well."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, cast

from findna_kit.errors import FindnaError
from findna_kit.metrics.readers import newest_rows
from findna_kit.records.run_record import EVALUATION, KILLED, RECORD, current_status, read_by_task, read_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Status = Literal["finished", "running", "interrupted", "stopped", "failed", "killed", "broken"]
STATUSES: tuple[Status, ...] = ("finished", "running", "interrupted", "stopped", "failed", "killed", "broken")
_LOOK = "collapse/"
"""What every look at the held-out windows says, whatever the losses are."""


@dataclass(frozen=True)
class Score:
    """The encoder's score of a task by a protocol, the one that the task is judged by, with its interval."""

    task: str
    protocol: str
    score: str
    value: float
    low: float
    high: float

    @property
    def name(self) -> str:
        """`TASK/PROTOCOL/SCORE`."""
        return f"{self.task}/{self.protocol}/{self.score}"


@dataclass
class Entry:
    """A run's folder. reason: why it ended as it did, or what is broken.

    step: of its newest row; held_out: each loss at the newest look at the held-out windows; seconds: of training; when:
    run.json was last written. What is not known is None.
    """

    run: Path
    status: Status = "broken"
    reason: str | None = None
    name: str | None = None
    seed: int | None = None
    step: int | None = None
    steps: int | None = None
    held_out: dict[str, float | None] = field(default_factory=dict)
    metric: float | None = None
    scores: list[Score] = field(default_factory=list)
    seconds: float | None = None
    when: datetime | None = None
    record: dict[str, Any] = field(default_factory=dict)


def entries_below(folder: Path, metric: str | None = None) -> list[Entry]:
    """Every run in `folder` and below it, sorted by path; with `metric`, its newest value in each run's metrics.jsonl.

    Raises FindnaError where there is no such folder.
    """
    if not folder.is_dir():
        raise FindnaError(f"{folder}: no such folder; name the one that your runs lie in")
    return [entry_of(run, metric) for run in sorted(_runs(folder, set()))]


def entry_of(run: Path, metric: str | None = None) -> Entry:
    """What the run's files say; a file that cannot be read makes it broken, and the others are told as well."""
    entry, wrong = Entry(run), list[str]()
    for tell in (_told, _measured, _scored):
        try:
            tell(entry, metric)
        except FindnaError as error:
            wrong.append(str(error))
        except OSError as error:
            wrong.append(f"{error.filename or run}: cannot be read: {error.strerror}")
    if wrong:
        entry.status, entry.reason = "broken", "; ".join(wrong)
    return entry


def _runs(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Folders that hold a run's record; in a run there is no other. Links are followed, each folder is seen once."""
    status = folder.stat()
    if (place := (status.st_dev, status.st_ino)) in seen:
        return
    seen.add(place)
    if (folder / RECORD).is_file():
        yield folder
        return
    try:
        below = [entry.name for entry in os.scandir(folder) if not entry.name.startswith(".") and entry.is_dir()]
    except PermissionError:  # somebody else's, and no run of ours
        return
    for name in below:
        yield from _runs(folder / name, seen)


def _told(entry: Entry, _: str | None) -> None:
    record = read_record(entry.run)
    entry.when = datetime.fromtimestamp((entry.run / RECORD).stat().st_mtime, UTC).astimezone()
    entry.record, timings = record, record.get("timings", {})
    try:
        entry.name, entry.reason = _text(record.get("name")), _text(record.get("reason"))
        entry.seed, entry.steps = (None if record.get(key) is None else int(record[key]) for key in ("seed", "steps"))
        entry.seconds = None if "training_seconds" not in timings else float(timings["training_seconds"])
        status = record.get("status", "running")
        if status not in STATUSES:
            raise ValueError(status)
    except (TypeError, ValueError) as error:
        raise FindnaError(f"{entry.run / RECORD}: is not what a run writes; restore it from a copy") from error
    entry.status = cast("Status", current_status(entry.run, status))
    if entry.status == "running":  # one that has been gone on with has not told so yet, while it reads the genome
        entry.reason = None
    elif entry.status == KILLED:
        entry.reason = "it has told no end, and no process holds it"


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(value)
    return value


def _measured(entry: Entry, metric: str | None) -> None:
    for row in newest_rows(entry.run):
        entry.step = row["step"] if entry.step is None else entry.step
        if any(name.startswith(_LOOK) for name in row):
            entry.held_out = {
                name.removeprefix("held_out/").removesuffix("/loss"): row[name]
                for name in row
                if name.startswith("held_out/") and name.endswith("/loss")
            }
            break
    if metric is not None:
        entry.metric = next((row[metric] for row in newest_rows(entry.run, metric)), None)


def _scored(entry: Entry, _: str | None) -> None:
    results = read_by_task(entry.run / EVALUATION, "and evaluate the run again")
    try:
        for path, result in results.items():
            score, same = result["metric"], [one for one in results.values() if one["task"] == result["task"]]
            task = result["task"] if len(same) == 1 else path
            for protocol, block in result["protocols"].items():
                found = {end: float(block["encoder"][score][end]) for end in ("value", "low", "high")}
                entry.scores.append(Score(task, protocol, score, **found))
    except (KeyError, TypeError, ValueError) as error:
        raise FindnaError(f"{entry.run / EVALUATION}: is not what evaluate writes; remove it, and evaluate again") from error

"""All runs below a folder, each read from its own files; a damaged run is listed as `broken`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, cast

from findna_kit.errors import FindnaError
from findna_kit.metrics.names import has_validation, validation_losses
from findna_kit.metrics.readers import newest_rows
from findna_kit.records.evaluation_json import read_evaluation
from findna_kit.records.paths import RUN_JSON
from findna_kit.records.run_json import RunJson, read_run_json
from findna_kit.records.run_status import KILLED, current_status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Status = Literal["finished", "running", "interrupted", "stopped", "failed", "killed", "broken"]
STATUSES: tuple[Status, ...] = ("finished", "running", "interrupted", "stopped", "failed", "killed", "broken")


@dataclass(frozen=True)
class EncoderScore:
    """The encoder's score on a task by one protocol, in the task's own metric, with its interval."""

    task: str
    protocol: str
    score: str
    value: float
    low: float
    high: float

    @property
    def name(self) -> str:
        """Return `TASK/PROTOCOL/SCORE`."""
        return f"{self.task}/{self.protocol}/{self.score}"


@dataclass
class Entry:
    """One run of a list; None stands for unknown values.

    reason: why it ended, or what is broken. step: the newest in its metrics; held_out: each loss at the last validation;
    metric: the newest value of the requested metric; seconds: of training; when: run.json was last written.
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
    scores: list[EncoderScore] = field(default_factory=list)
    seconds: float | None = None
    when: datetime | None = None
    record: RunJson = field(default_factory=RunJson)


def entries_below(folder: Path, metric: str | None = None) -> list[Entry]:
    """Return every run in `folder` and below it, sorted by path; with `metric`, its newest value in each run.

    Raises FindnaError if there is no such folder.
    """
    if not folder.is_dir():
        raise FindnaError(f"{folder}: no such folder; give the folder that holds your runs")
    return [entry_of(run, metric) for run in sorted(_runs(folder, set()))]


def entry_of(run: Path, metric: str | None = None) -> Entry:
    """Return the entry of one run. A damaged file makes it `broken`; its other files are read all the same."""
    entry, problems = Entry(run), list[str]()
    for read in (_read_record, _read_metrics, _read_scores):
        try:
            read(entry, metric)
        except FindnaError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{error.filename or run}: cannot be read: {error.strerror}")
    if problems:
        entry.status, entry.reason = "broken", "; ".join(problems)
    return entry


def _runs(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Yield the folders with a run.json. Links are followed, each folder is visited once; a run holds no other run."""
    status = folder.stat()
    if (identity := (status.st_dev, status.st_ino)) in seen:
        return
    seen.add(identity)
    if (folder / RUN_JSON).is_file():
        yield folder
        return
    try:
        below = [entry.name for entry in os.scandir(folder) if not entry.name.startswith(".") and entry.is_dir()]
    except PermissionError:  # another user's folder
        return
    for name in below:
        yield from _runs(folder / name, seen)


def _read_record(entry: Entry, _: str | None) -> None:
    entry.record = record = read_run_json(entry.run)
    path = entry.run / RUN_JSON
    entry.when = datetime.fromtimestamp(path.stat().st_mtime, UTC).astimezone()
    entry.name, entry.seed, entry.steps, entry.reason = record.name, record.seed, record.steps, record.reason
    entry.seconds = record.timings.training_seconds
    # A run writes its status last; one that was killed before has none.
    status = "running" if record.status is None else record.status
    if status not in STATUSES:
        raise FindnaError(f"{path}: unexpected content (status: {status!r}); restore the file from a copy")
    entry.status = cast("Status", current_status(entry.run, status))
    if entry.status == "running":
        # The reason is of the last interruption; a resumed run overwrites it only once the genome is open.
        entry.reason = None
    elif entry.status == KILLED:
        entry.reason = "it recorded no end, and no process holds its folder"


def _read_metrics(entry: Entry, metric: str | None) -> None:
    for row in newest_rows(entry.run):
        entry.step = row["step"] if entry.step is None else entry.step
        if has_validation(row):
            entry.held_out = dict(validation_losses(row))
            break
    if metric is not None:
        entry.metric = next((row[metric] for row in newest_rows(entry.run, metric)), None)


def _read_scores(entry: Entry, _: str | None) -> None:
    results = read_evaluation(entry.run, "remove it, and evaluate the run again")
    for path, result in results.items():
        # Tasks in different folders may share a name; then only the path tells them apart.
        unique = sum(other.task == result.task for other in results.values()) == 1
        task = result.task if unique else path
        for protocol, block in result.protocols.items():
            score = block.encoder.score(result.metric)
            entry.scores.append(EncoderScore(task, protocol, result.metric, score.value, score.low, score.high))

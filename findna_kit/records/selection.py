"""The best of several runs: chosen on validation data, never by a test score."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError, nearest
from findna_kit.metrics.names import BASELINE, TASK, VALIDATION_SPLIT, parse
from findna_kit.metrics.readers import newest_rows
from findna_kit.records.evaluation_json import SCORES, read_evaluation
from findna_kit.records.listing import Entry, entries_below

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LOWER, HIGHER = ("loss", "bits_per_base"), SCORES
"""Metrics, by the last part of their names, whose better direction is known."""
_ON_VALIDATION = (*VALIDATION_SPLIT, TASK)
_PROTOCOLS = ("knn", "probe", "finetune", "few_shot")
_VALIDATION_SCORE = "validation_"
_SUGGESTION = "use a validation metric, such as held_out/LABEL/loss, or a validation score"


@dataclass(frozen=True)
class Criterion:
    """A metric to choose by, and its better direction."""

    metric: str
    maximise: bool

    @property
    def words(self) -> str:
        """Return the criterion as part of a sentence."""
        return f"{self.metric} ({'higher' if self.maximise else 'lower'} is better)"

    def better(self, value: float) -> float:
        """Return a sort key: the better the value, the smaller it is."""
        return -value if self.maximise else value


def criterion(metric: str, maximise: bool | None = None) -> Criterion:
    """Return the criterion for a metric measured on validation data.

    Such metrics are `held_out/`, `held_out_plain/`, `collapse/` and `evaluation/TASK/PROTOCOL/SCORE` of metrics.jsonl, and
    `TASK/PROTOCOL/validation_SCORE` of evaluation.json. Raises FindnaError, with the reason, for a test score, a training
    metric or a baseline, and if the better direction is unknown or is not the given one.
    """
    parts = metric.split("/")
    is_validation_score = len(parts) > 2 and parts[-1].startswith(_VALIDATION_SCORE)
    if not is_validation_score:
        _refuse(metric, parts)
    words = [part.removeprefix(_VALIDATION_SCORE) for part in parts]
    # Metrics of plain validation end in a branch; the metric that has a direction stands before it.
    if words[-1] in ("student", "teacher"):
        words.pop()
    known = words[-1] in HIGHER if words[-1] in (*LOWER, *HIGHER) else None
    if known is None and maximise is None:
        raise FindnaError(f"{metric}: whether higher or lower is better is not known; give maximise or minimise")
    if known is not None and maximise is not None and known != maximise:
        better, given = ("higher", "minimise") if known else ("lower", "maximise")
        raise FindnaError(f"{metric}: {better} is better; leave {given} out")
    return Criterion(metric, bool(known if maximise is None else maximise))


def _refuse(metric: str, parts: list[str]) -> None:
    """Raise FindnaError for a metric that is not measured on validation data."""
    if metric.startswith(BASELINE) or parse(metric).control:
        raise FindnaError(f"{metric}: is the score of a baseline, the same for every run; {_SUGGESTION}")
    if metric.startswith(_ON_VALIDATION):
        return
    protocol = parts[-2] if len(parts) > 1 else ""
    if parts[-1] in HIGHER and protocol.startswith(_PROTOCOLS):
        raise FindnaError(
            f"{metric}: is a score on the test split; selecting on the test set makes its score optimistic; {_SUGGESTION}"
        )
    raise FindnaError(f"{metric}: is a training metric, or unknown; runs are chosen on validation data: {_SUGGESTION}")


@dataclass
class Choice:
    """Runs ranked by a criterion, the best first. left_out: the number of other runs by why they are not ranked."""

    by: Criterion
    ranked: list[tuple[Entry, float]] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def held_outs(self) -> int:
        """Return the number of different genomes or validation regions that the values were measured on."""
        return len({str([(genome.digest, genome.parts) for genome in entry.record.genomes]) for entry, _ in self.ranked})


def choose(folder: Path, by: Criterion) -> Choice:
    """Rank the finished runs below `folder` by their newest value. Raises FindnaError if no run has one."""
    choice, without_value = Choice(by), list[Entry]()
    is_validation_score = by.metric.rpartition("/")[2].startswith(_VALIDATION_SCORE)
    for entry in entries_below(folder, None if is_validation_score else by.metric):
        finished = entry.status == "finished"
        value = _validation_score(entry, by.metric) if finished and is_validation_score else entry.metric
        if finished and value is not None:
            choice.ranked.append((entry, value))
            continue
        if finished:
            without_value.append(entry)
        why = "without a value of it" if finished else entry.status
        choice.left_out[why] = choice.left_out.get(why, 0) + 1
    choice.ranked.sort(key=lambda ranked: (by.better(ranked[1]), str(ranked[0].run)))
    if not choice.ranked:
        left = ", ".join(f"{count} {why}" for why, count in choice.left_out.items()) or "there are no runs"
        hint = nearest(by.metric, metric_names(without_value, _ON_VALIDATION))
        raise FindnaError(f"{folder}: no finished run has a value of {by.metric}{hint} ({left})")
    return choice


def metric_names(entries: Sequence[Entry], prefixes: tuple[str, ...] = ("",)) -> list[str]:
    """Return the metrics with one of the prefixes in the newest row that has any, of the first run that has one."""
    for entry in entries:
        for row in newest_rows(entry.run):
            if names := [name for name in row if name != "step" and name.startswith(prefixes)]:
                return names
    return []


def _validation_score(entry: Entry, metric: str) -> float | None:
    """Return the validation score that a protocol's hyperparameters were chosen by, averaged over seeds."""
    task, protocol, name = metric.rsplit("/", 2)
    results = read_evaluation(entry.run, "remove it, and evaluate the run again")
    matches = [result for path, result in results.items() if task in (path, result.task)]
    # Tasks in different folders may share a name. Then the name does not say which task is meant, and only a path is accepted.
    if len(matches) != 1 or protocol not in matches[0].protocols:
        return None
    seeds = matches[0].protocols[protocol].encoder.chosen
    values = [float(value) for chosen in seeds if isinstance(value := chosen.get(name), int | float)]
    # A mean over some of the seeds would not be comparable with the means of other runs.
    return fmean(values) if values and len(values) == len(seeds) else None

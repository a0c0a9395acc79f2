"""Which run is best: by what was held out from training, and never by a test set."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

from findna_kit.errors import FindnaError, nearest
from findna_kit.metrics.readers import newest_rows
from findna_kit.records.listing import Entry, entries_below
from findna_kit.records.run_record import EVALUATION, read_by_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LOWER, HIGHER = ("loss", "bits_per_base"), ("accuracy", "mcc", "macro_f1", "auroc", "auprc")
"""Last words of metrics whose better end is known."""
_HELD_OUT = ("held_out/", "held_out_plain/", "evaluation/", "collapse/")
_PROTOCOLS = ("knn", "probe", "finetune", "few_shot")
_VALIDATION = "validation_"
_WAYS = "take one of held-out windows, as held_out/LABEL/loss, or a validation score"


@dataclass(frozen=True)
class Criterion:
    """A metric to choose by, and which end of it is better."""

    metric: str
    maximise: bool

    @property
    def words(self) -> str:
        """As a sentence has it."""
        return f"{self.metric} ({'higher' if self.maximise else 'lower'} is better)"

    def better(self, one: float) -> float:
        """A number that is the smaller, the better."""
        return -one if self.maximise else one


def criterion(metric: str, maximise: bool | None = None) -> Criterion:
    """What a run may be chosen by: held-out windows (`held_out/`, `held_out_plain/`, `collapse/`), or validation rows.

    Those are `evaluation/TASK/PROTOCOL/SCORE` of metrics.jsonl and `TASK/PROTOCOL/validation_SCORE` of evaluation.json. Raises
    FindnaError, with the reason, for a test score, a metric of training, a baseline, and where the better end is not known or
    is the other one.
    """
    parts = metric.split("/")
    validation = len(parts) > 2 and parts[-1].startswith(_VALIDATION)
    if not validation:
        _refuse(metric, parts)
    words = [part.removeprefix(_VALIDATION) for part in parts]
    if words[-1] in ("student", "teacher"):
        words.pop()
    end = words[-1] in HIGHER if words[-1] in (*LOWER, *HIGHER) else None
    if end is None and maximise is None:
        raise FindnaError(f"{metric}: whether more of it is better is not known; say maximise or minimise")
    if end is not None and maximise is not None and end != maximise:
        raise FindnaError(f"{metric}: {'higher' if end else 'lower'} is better; leave {'minimise' if end else 'maximise'} out")
    return Criterion(metric, bool(end if maximise is None else maximise))


def _refuse(metric: str, parts: list[str]) -> None:
    if metric.startswith("baseline/") or (metric.startswith("evaluation/") and parts[-1] == "kmer"):
        raise FindnaError(f"{metric}: is of a model that counts, the same whatever is trained, and chooses nothing; {_WAYS}")
    if metric.startswith(_HELD_OUT):
        return
    protocol = parts[-2] if len(parts) > 1 else ""
    if parts[-1] in HIGHER and protocol.startswith(_PROTOCOLS):
        raise FindnaError(
            f"{metric}: is a score on test rows, and test sets choose nothing: what is chosen by them looks better on them "
            f"than it is; {_WAYS}"
        )
    raise FindnaError(f"{metric}: is of what was trained on, or nobody's; a run is chosen by what was held out: {_WAYS}")


@dataclass
class Choice:
    """Runs with a number to compare, the best first; how many others there are, by why they are left out."""

    by: Criterion
    ranked: list[tuple[Entry, float]] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def held_outs(self) -> int:
        """How many different held-out parts of genomes the numbers are of."""
        keys = ("digest", "parts")
        return len(
            {str([[one.get(key) for key in keys] for one in entry.record.get("genomes", ())]) for entry, _ in self.ranked}
        )


def choose(folder: Path, by: Criterion) -> Choice:
    """Finished runs below `folder`, by their newest number. Raises FindnaError where no run has one."""
    choice, others = Choice(by), list[Entry]()
    validation = by.metric.rpartition("/")[2].startswith(_VALIDATION)
    for entry in entries_below(folder, None if validation else by.metric):
        finished = entry.status == "finished"
        value = _validation(entry, by.metric) if finished and validation else entry.metric
        if finished and value is not None:
            choice.ranked.append((entry, value))
            continue
        if finished:
            others.append(entry)
        why = "without a number for it" if finished else entry.status
        choice.left_out[why] = choice.left_out.get(why, 0) + 1
    choice.ranked.sort(key=lambda one: (by.better(one[1]), str(one[0].run)))
    if not choice.ranked:
        left = ", ".join(f"{count} {why}" for why, count in choice.left_out.items()) or "no run is there"
        near = nearest(by.metric, metric_names(others, _HELD_OUT))
        raise FindnaError(f"{folder}: no finished run has a number for {by.metric}{near} ({left})")
    return choice


def metric_names(entries: Sequence[Entry], beginnings: tuple[str, ...] = ("",)) -> list[str]:
    """Metrics with one of the beginnings, in the newest row that has any: of the first of these runs that has one."""
    for entry in entries:
        for row in newest_rows(entry.run):
            if names := [name for name in row if name != "step" and name.startswith(beginnings)]:
                return names
    return []


def _validation(entry: Entry, metric: str) -> float | None:
    """The score on validation rows that a protocol's settings were chosen by, its mean over repeats."""
    task, protocol, name = metric.rsplit("/", 2)
    results: dict[str, Any] = read_by_task(entry.run / EVALUATION, "and evaluate the run again")
    found = [result for path, result in results.items() if task in (path, result["task"])]
    if len(found) != 1:
        return None
    rows = found[0]["protocols"].get(protocol, {}).get("encoder", {}).get("chosen", ())
    values = [row[name] for row in rows if name in row]
    return fmean(values) if values and len(values) == len(rows) else None

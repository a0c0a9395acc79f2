"""Leakage audit of a task: test samples that other splits or a genome contain, as copies or near copies, on either strand."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from findna_kit import alphabet
from findna_kit.evaluation.kmers import (
    GENOME_K,
    LEAST_SHARED,
    NEAR,
    NEAR_K,
    found_in,
    nearest_rows,
    plain_letters,
    scale_for,
    sketch,
)
from findna_kit.records.audit_json import (
    AuditMethod,
    AuditReport,
    LabelConflicts,
    LeakedSamples,
    SplitOverlap,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from findna_kit.evaluation.kmers import Sketch
    from findna_kit.evaluation.tasks import Task

PAIRS = (("test", "train"), ("test", "validation"), ("validation", "train"))
KINDS = ("same", "reverse_complement", "near")
SEEN = 0.5
"""Share of a sequence's 32-mers that must lie in a genome's regions for the sequence to count as lying there."""
FORMAT = 1
"""Version of the report. Raise it when sequences are compared in another way: older reports are then made again."""


class OverlapOfTask(TypedDict):
    """The test samples of one task that lie in the searched regions. `not_compared`: those without a k-mer to search."""

    k: int
    rows: list[int]
    share: float
    not_compared: int


def audit(task: Task) -> AuditReport:
    """Return what repeats within and between the task's splits, and which labels conflict.

    Samples are counted from 0 in each split. A sample is `near` another if it is neither the same nor its reverse
    complement, and they share at least NEAR of the sampled 12-mers of the one that has fewer. `near_with_another_label`
    counts those whose nearest sample has another label. `not_compared` counts samples with too few k-mers, for which only
    exact copies are found. `leaked` are the test samples found in other splits. Genomes are compared elsewhere: those
    fields are empty.
    """
    plain = {name: plain_letters(split.sequences) for name, split in task.splits.items()}
    # One scale for all splits: sketches of different scales cannot be compared.
    scale = scale_for([row for rows in plain.values() for row in rows], NEAR_K)
    splits = {
        name: _ComparedSplit(
            rows, [alphabet.reverse_complement(row) for row in rows], sketch(rows, NEAR_K, scale), task.splits[name].labels
        )
        for name, rows in plain.items()
    }
    between = [_overlap(splits, query, reference) for query, reference in PAIRS]
    leaked = sorted({row for pair in between if pair.rows_of == "test" for rows in pair.rows.values() for row in rows})
    # A sequence and its reverse complement are one molecule: the smaller of both stands for it.
    molecules = {name: [min(pair) for pair in zip(split.plain, split.reversed, strict=True)] for name, split in splits.items()}
    return AuditReport(
        format=FORMAT,
        task=task.name,
        path=task.path,
        digest=task.digest,
        sizes={name: len(rows) for name, rows in plain.items()},
        notes=list(task.notes),
        method=AuditMethod(k=NEAR_K, sampled=f"1 in {scale}", near=NEAR, least_shared=LEAST_SHARED, strands="both"),
        repeats={name: len(rows) - len(set(rows)) for name, rows in molecules.items()},
        conflicting=_conflicts(task, molecules),
        between=between,
        leaked=LeakedSamples(rows=leaked, share=len(leaked) / len(plain["test"])),
        run=None,
        trained_on=[],
        unknown=[],
        lies_in=[],
    )


def seen_in(tasks: Sequence[Task], regions: Iterable[NDArray[np.uint8]]) -> list[OverlapOfTask]:
    """Return for each task the test samples that lie in the regions: at least half of their 32-mers, on either strand.

    All tasks are searched in one pass over the regions. `not_compared` counts samples without a sampled 32-mer free of N.
    """
    tests = [task.splits["test"].sequences for task in tasks]
    # Reading a genome dominates the time, so that all tasks share one pass.
    share = found_in([row for rows in tests for row in rows], regions)
    overlaps = list[OverlapOfTask]()
    for low, high in pairwise(np.cumsum([0, *map(len, tests)]).tolist()):
        known = ~np.isnan(share[low:high])
        rows = np.flatnonzero(known & (share[low:high] >= SEEN)).tolist()
        of_compared = len(rows) / max(1, int(known.sum()))
        overlaps.append({"k": GENOME_K, "rows": rows, "share": of_compared, "not_compared": int((~known).sum())})
    return overlaps


def has_findings(report: AuditReport) -> bool:
    """Return whether an audit found overlapping splits, conflicting labels, or test samples in a training genome."""
    overlapping = any(pair.share > 0 for pair in report.between)
    return overlapping or report.conflicting.sequences > 0 or any(genome.rows for genome in report.trained_on)


@dataclass(frozen=True)
class _ComparedSplit:
    """A split's sequences as a model reads them, their reverse complements, sampled k-mers, and labels [n]."""

    plain: list[str]
    reversed: list[str]
    sketch: Sketch
    labels: NDArray[np.int64]

    def contains(self, rows: Sequence[str]) -> NDArray[np.bool_]:
        """Return True [n] for those of the sequences that are in this split."""
        known = set(self.plain)
        return np.fromiter((row in known for row in rows), dtype=bool, count=len(rows))


def _overlap(splits: Mapping[str, _ComparedSplit], query_name: str, reference_name: str) -> SplitOverlap:
    """Return the samples of one split that are in another, each under the first kind that applies."""
    query, reference = splits[query_name], splits[reference_name]
    same = reference.contains(query.plain)
    # Each sample is counted once, for the strongest kind of match.
    reverse = reference.contains(query.reversed) & ~same
    nearest, share = nearest_rows(query.sketch, reference.sketch)
    rows = {
        kind: np.flatnonzero(found)
        for kind, found in zip(KINDS, (same, reverse, (share >= NEAR) & ~same & ~reverse), strict=True)
    }
    other_label = query.labels[rows["near"]] != reference.labels[nearest[rows["near"]]]
    short = (query.sketch.count < LEAST_SHARED) & ~same & ~reverse
    return SplitOverlap(
        rows_of=query_name,
        found_in=reference_name,
        share=sum(map(len, rows.values())) / len(same),
        not_compared=int(short.sum()),
        rows={kind: found.tolist() for kind, found in rows.items()},
        near_with_another_label=int(other_label.sum()),
    )


def _conflicts(task: Task, molecules: Mapping[str, Sequence[str]]) -> LabelConflicts:
    """Return the sequences that have several labels, on either strand and in any splits, and their samples."""
    labels: dict[str, set[int]] = {}
    for name, split in task.splits.items():
        for molecule, label in zip(molecules[name], split.labels.tolist(), strict=True):
            labels.setdefault(molecule, set()).add(label)
    # The same sequence with two labels limits every classifier, whichever split it is in.
    conflicting = {molecule for molecule, found in labels.items() if len(found) > 1}
    rows = {name: [row for row, molecule in enumerate(molecules[name]) if molecule in conflicting] for name in task.splits}
    return LabelConflicts(sequences=len(conflicting), rows=rows)

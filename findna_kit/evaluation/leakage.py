"""What of a task's test part its training part has already: the same rows, the other strand, near copies, a trained genome."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from findna_kit import alphabet
from findna_kit.evaluation.kmers import (
    GENOME_K,
    LEAST_SHARED,
    NEAR,
    NEAR_K,
    found_in,
    nearest_rows,
    scale_for,
    sketch,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from findna_kit.evaluation.kmers import Sketch
    from findna_kit.evaluation.tasks import Task

PAIRS = (("test", "train"), ("test", "validation"), ("validation", "train"))
KINDS = ("same", "reverse_complement", "near")
SEEN = 0.5
"""Share of a sequence's 32-mers that must lie in a genome's stretches for the sequence to."""
FORMAT = 1
"""Of a report; another way of comparing takes another number, so that what is kept of an older one is made anew."""

_PLAIN = str.maketrans({"U": "T", **dict.fromkeys("RYSWKMBDHVX", "N")})


def audit(task: Task) -> dict[str, Any]:
    """What repeats inside the parts and between them, and whose labels disagree; `leaked`: the test rows found in the others.

    Rows are counted from 0 in the task's parts. A row is `near` another, if neither the same nor its reverse complement, where
    they share at least NEAR of the sampled 12-mers of the one that has fewer. `near_with_another_label`: how many of these
    have another label than the nearest row. `not_compared`: rows with too few k-mers, of which exact copies alone are sought.
    The last four are filled by who knows runs and genomes.
    """
    plain = {part: [row.upper().translate(_PLAIN) for row in table.sequences] for part, table in task.parts.items()}
    scale = scale_for([row for rows in plain.values() for row in rows], NEAR_K)
    parts = {
        part: _Part(
            rows, [alphabet.reverse_complement(row) for row in rows], sketch(rows, NEAR_K, scale), task.parts[part].labels
        )
        for part, rows in plain.items()
    }
    between = [{"rows_of": one, "found_in": other, **_found(parts[one], parts[other])} for one, other in PAIRS]
    leaked = sorted({row for pair in between if pair["rows_of"] == "test" for rows in pair["rows"].values() for row in rows})
    keys = {part: [min(pair) for pair in zip(rows.plain, rows.turned, strict=True)] for part, rows in parts.items()}
    return {
        "format": FORMAT,
        "task": task.name,
        "path": task.path,
        "digest": task.digest,
        "sizes": {part: len(rows) for part, rows in plain.items()},
        "notes": list(task.notes),
        "method": {"k": NEAR_K, "sampled": f"1 in {scale}", "near": NEAR, "least_shared": LEAST_SHARED, "strands": "both"},
        "repeats": {part: len(rows) - len(set(rows)) for part, rows in keys.items()},
        "conflicting": _conflicting(task, keys),
        "between": between,
        "leaked": {"rows": leaked, "share": len(leaked) / len(plain["test"])},
        "run": None,
        "trained_on": [],
        "unknown": [],
        "lies_in": [],
    }


def seen_in(tasks: Sequence[Task], stretches: Iterable[NDArray[np.uint8]]) -> list[dict[str, Any]]:
    """For each task the test rows of which at least half lies in the stretches, by their 32-mers on either strand.

    All tasks are looked for in one reading. `not_compared`: rows that have no 32-mer without N, or none sampled.
    """
    tests = [task.parts["test"].sequences for task in tasks]
    share = found_in([row for rows in tests for row in rows], stretches)
    told = []
    for low, high in pairwise(np.cumsum([0, *map(len, tests)]).tolist()):
        known = ~np.isnan(share[low:high])
        rows = np.flatnonzero(known & (share[low:high] >= SEEN)).tolist()
        of_compared = len(rows) / max(1, int(known.sum()))
        told.append({"k": GENOME_K, "rows": rows, "share": of_compared, "not_compared": int((~known).sum())})
    return told


def has_findings(report: Mapping[str, Any]) -> bool:
    """Whether an audit found anything between parts, in the labels, or in what was trained on."""
    between = any(pair["share"] > 0 for pair in report["between"])
    return between or report["conflicting"]["sequences"] > 0 or any(seen["rows"] for seen in report["trained_on"])


@dataclass(frozen=True)
class _Part:
    """A part's rows as a model reads them, those of the other strand, their sampled k-mers, their labels [n]."""

    plain: list[str]
    turned: list[str]
    sketch: Sketch
    labels: NDArray[np.int64]

    def among(self, rows: Sequence[str]) -> NDArray[np.bool_]:
        """True [n] for those of the rows that this part has."""
        known = set(self.plain)
        return np.fromiter((row in known for row in rows), dtype=bool, count=len(rows))


def _found(one: _Part, other: _Part) -> dict[str, Any]:
    """The rows of the one that are in the other, by kind, each in the first that holds."""
    same = other.among(one.plain)
    reverse = other.among(one.turned) & ~same
    nearest, share = nearest_rows(one.sketch, other.sketch)
    rows = {
        kind: np.flatnonzero(found)
        for kind, found in zip(KINDS, (same, reverse, (share >= NEAR) & ~same & ~reverse), strict=True)
    }
    unlike = one.labels[rows["near"]] != other.labels[nearest[rows["near"]]]
    short = (one.sketch.count < LEAST_SHARED) & ~same & ~reverse
    return {
        "share": sum(map(len, rows.values())) / len(same),
        "not_compared": int(short.sum()),
        "rows": {kind: found.tolist() for kind, found in rows.items()},
        "near_with_another_label": int(unlike.sum()),
    }


def _conflicting(task: Task, keys: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Sequences that have several labels, on whichever strand and in whichever parts, and the rows they stand in."""
    labels: dict[str, set[int]] = {}
    for part, table in task.parts.items():
        for key, label in zip(keys[part], table.labels.tolist(), strict=True):
            labels.setdefault(key, set()).add(label)
    several = {key for key, found in labels.items() if len(found) > 1}
    rows = {part: [row for row, key in enumerate(keys[part]) if key in several] for part in task.parts}
    return {"sequences": len(several), "rows": rows}

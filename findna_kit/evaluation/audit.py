"""What of a task's test part its training part has already: the same rows, the other strand, near copies, a trained genome."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

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

    from findna_kit.evaluation.tasks import Task

PAIRS = (("test", "train"), ("test", "validation"), ("validation", "train"))
KINDS = ("same", "reverse_complement", "near")
SEEN = 0.5
"""Share of a sequence's 32-mers that must lie in the trained stretches for the sequence to."""

_PLAIN = str.maketrans({"U": "T", **dict.fromkeys("RYSWKMBDHVX", "N")})
_OTHER_STRAND = str.maketrans("ACGT", "TGCA")


def audit(task: Task) -> dict[str, Any]:
    """What repeats inside the parts and between them, and whose labels disagree; `leaked`: the test rows found in the others.

    Rows are counted from 0 in the task's parts. A row is `near` another, if neither the same nor its reverse complement, where
    they share at least NEAR of the sampled 12-mers of the one that has fewer. `not_compared`: rows with too few of them.
    """
    plain = {part: [row.upper().translate(_PLAIN) for row in table.sequences] for part, table in task.parts.items()}
    turned = {part: [row.translate(_OTHER_STRAND)[::-1] for row in rows] for part, rows in plain.items()}
    scale = scale_for([row for rows in plain.values() for row in rows], NEAR_K)
    sketches = {part: sketch(rows, NEAR_K, scale) for part, rows in plain.items()}
    between = []
    for one, other in PAIRS:
        found = dict(zip(KINDS[:2], _exact(plain[one], turned[one], plain[other]), strict=True))
        share = nearest_rows(sketches[one], sketches[other])[1]
        found["near"] = (share >= NEAR) & ~found["same"] & ~found["reverse_complement"]
        short = sketches[one].count < LEAST_SHARED
        between.append(_told(one, other, found, short & ~found["same"] & ~found["reverse_complement"]))
    leaked = sorted({row for pair in between if pair["rows_of"] == "test" for rows in pair["rows"].values() for row in rows})
    keys = {part: [min(pair) for pair in zip(plain[part], turned[part], strict=True)] for part in plain}
    return {
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
        "trained_on": [],
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


def _exact(
    rows: Sequence[str], turned: Sequence[str], others: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:  # fmt: skip
    """True [n] for rows that are among the others as they are, and for those whose reverse complement alone is."""
    known = set(others)
    same = np.fromiter((row in known for row in rows), dtype=bool, count=len(rows))
    reverse = np.fromiter((row in known for row in turned), dtype=bool, count=len(rows))
    return same, reverse & ~same


def _told(one: str, other: str, found: Mapping[str, NDArray[np.bool_]], short: NDArray[np.bool_]) -> dict[str, Any]:
    rows = {kind: np.flatnonzero(found[kind]).tolist() for kind in KINDS}
    total = sum(map(len, rows.values()))
    return {"rows_of": one, "found_in": other, "share": total / len(short), "not_compared": int(short.sum()), "rows": rows}


def _conflicting(task: Task, keys: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Sequences that have several labels, on whichever strand and in whichever parts, and the rows they stand in."""
    labels: dict[str, set[int]] = {}
    for part, table in task.parts.items():
        for key, label in zip(keys[part], table.labels.tolist(), strict=True):
            labels.setdefault(key, set()).add(label)
    several = {key for key, found in labels.items() if len(found) > 1}
    rows = {part: [row for row, key in enumerate(keys[part]) if key in several] for part in task.parts}
    return {"sequences": len(several), "rows": rows}

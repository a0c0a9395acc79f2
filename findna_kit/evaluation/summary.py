"""From predictions to a result that is ready for JSON: every score with its interval, its controls and its differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from findna_kit.errors import FindnaError, TaskError
from findna_kit.evaluation.evaluate import Who
from findna_kit.evaluation.scores import LEVEL, RESAMPLES, SCORES, Resampled, resampled, verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from findna_kit.evaluation.cache import Prediction
    from findna_kit.evaluation.evaluate import Cell
    from findna_kit.evaluation.tasks import Task

_FEWEST = 2
METHOD = "percentile bootstrap over the test rows, and over the seeds where there are several"


def about(task: Task, *, seed: int) -> dict[str, Any]:
    """What of a result is known before anything is scored, ready for JSON."""
    return {
        "task": task.name,
        "path": task.path,
        "digest": task.digest,
        "metric": task.metric,
        "sizes": {part: len(table.labels) for part, table in task.parts.items()},
        "classes": list(task.classes),
        "notes": list(task.notes),
        "seed": seed,
        "interval": {"level": LEVEL, "resamples": RESAMPLES, "method": METHOD},
        "areas": f"auroc and auprc are of the class {task.classes[1]}" if len(task.classes) == 2 else "means over the classes",
        "fitted_on": "train",
    }


def rows_scored(task: Task, without: Sequence[int] = ()) -> NDArray[np.int64]:
    """The test rows that are not left out. Raises FindnaError where no score can be taken of them."""
    labels = task.parts["test"].labels
    kept = np.setdiff1d(np.arange(len(labels)), np.array(without, dtype=np.int64))
    found = np.unique(labels[kept]).size
    if found >= _FEWEST:
        return kept
    if not len(without):
        raise TaskError(
            f"{task.path}: the test part has the one class {task.classes[labels[0]]!r}, and no score can be taken of one class "
            "alone: add rows of another"
        )
    raise FindnaError(
        f"{task.path}: without the {len(without)} test rows that were found elsewhere, rows of {found} "
        "classes are left, which no score can be taken of; score it with them, and read the audit beside it"
    )


def summarise(task: Task, predictions: Mapping[Cell, Prediction], *, seed: int, without: Sequence[int] = ()) -> dict[str, Any]:
    """Scores by protocol: the encoder, every control, and the encoder's paired difference to each.

    without: test rows that are left out. Raises FindnaError where too few are left.
    """
    kept = rows_scored(task, without)
    truth = task.parts["test"].labels[kept]
    rows: dict[str, list[Prediction]] = {}
    for cell in sorted(predictions, key=lambda cell: cell.number):
        rows.setdefault(f"{cell.protocol}/{cell.who}", []).append(predictions[cell])
    # A control of several protocols is one prediction: resampled once.
    first: dict[tuple[int, ...], str] = {}
    same = {name: first.setdefault(tuple(map(id, each)), name) for name, each in rows.items()}
    scores = {name: [one.scores[kept] for one in rows[name]] for name in first.values()}
    sampled = resampled(truth, scores, len(task.classes), seed=seed)
    return {
        **about(task, seed=seed),
        "scored": len(kept),
        "protocols": {
            protocol: _block(
                {who: (rows[name], sampled[same[name]]) for who in get_args(Who) if (name := f"{protocol}/{who}") in rows}
            )
            for protocol in dict.fromkeys(cell.protocol for cell in predictions)
        },
    }


def _block(scored: Mapping[str, tuple[list[Prediction], Resampled]]) -> dict[str, Any]:
    encoder = scored["encoder"][1]
    return {
        **{
            who: {
                "chosen": [one.chosen for one in each],
                "seeds": len(each),
                **{name: sampled.interval(name) for name in SCORES},
            }
            for who, (each, sampled) in scored.items()
        },
        "encoder_minus": {
            who: {name: {**(found := encoder.minus(sampled, name)), "verdict": verdict(found)} for name in SCORES}
            for who, (_, sampled) in scored.items()
            if who != "encoder"
        },
    }

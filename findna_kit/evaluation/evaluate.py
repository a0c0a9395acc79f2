"""The whole evaluation of one encoder on one task, beside the controls without which no score means anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from findna_kit.errors import FindnaError, nearest
from findna_kit.evaluation.controls import kmer_control, majority_control
from findna_kit.evaluation.protocols import PROTOCOLS, Features
from findna_kit.evaluation.scores import LEVEL, RESAMPLES, differences, intervals, verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from findna_kit.evaluation.scores import Labels
    from findna_kit.evaluation.tasks import Table, Task

Embed = Callable[[Sequence[str]], "NDArray[Any]"]
"""Sequences of any length -> embeddings [n, D]."""

EMBEDDED = ("encoder", "random_init")
_Prediction = tuple["Labels", Mapping[str, object]]


def evaluate(task: Task, embed: Mapping[str, Embed], protocols: Sequence[str], *, seed: int) -> dict[str, Any]:
    """Scores of `embed["encoder"]` and, at step 0, `embed["random_init"]`, with the controls and the paired differences.

    The same input gives the same digits; each part is embedded once. FindnaError for a protocol nobody knows and for
    embeddings that are not finite, ValueError for `embed` or its arrays not being what is said here.
    """
    wanted = known_protocols(protocols)
    if set(embed) != set(EMBEDDED):
        raise ValueError(f"embed has {sorted(embed)}; {list(EMBEDDED)} are needed")
    scored = {who: _predictions(task, embed[who], wanted, who) for who in EMBEDDED}
    controls: dict[str, _Prediction] = {"kmer": kmer_control(task), "majority": majority_control(task)}
    return {
        "task": task.name,
        "path": task.path,
        "digest": task.digest,
        "sizes": {part: len(table.labels) for part, table in task.parts.items()},
        "classes": list(task.classes),
        "notes": list(task.notes),
        "seed": seed,
        "interval": {"level": LEVEL, "resamples": RESAMPLES, "method": "percentile bootstrap over the test rows"},
        "fitted_on": "train",
        "protocols": {name: _block(task, name, scored, controls, seed) for name in wanted},
        "controls": {name: _row(task, prediction, seed) for name, prediction in controls.items()},
    }


def known_protocols(protocols: Sequence[str]) -> list[str]:
    """Each protocol once, in the order given; FindnaError for one that nobody knows, and for none."""
    for name in protocols:
        if name not in PROTOCOLS:
            raise FindnaError(f"there is no protocol {name!r}{nearest(name, PROTOCOLS)}; there are {', '.join(PROTOCOLS)}")
    if not protocols:
        raise FindnaError(f"no protocol was named; there are {', '.join(PROTOCOLS)}")
    return list(dict.fromkeys(protocols))


def _predictions(task: Task, embed: Embed, protocols: Sequence[str], who: str) -> dict[str, _Prediction]:
    train, validation, test = (task.parts[part] for part in ("train", "validation", "test"))
    features = Features(
        _embedded(embed, train, task, who),
        train.labels,
        _embedded(embed, validation, task, who),
        validation.labels,
        len(task.classes),
    )
    # Every choice is made before the test part is embedded, so that none can have seen it.
    fitted = {name: PROTOCOLS[name](features) for name in protocols}
    rows = _embedded(embed, test, task, who)
    return {name: (one.predict(rows), one.chosen) for name, one in fitted.items()}


def _embedded(embed: Embed, table: Table, task: Task, who: str) -> NDArray[Any]:
    rows = embed(table.sequences)
    if rows.ndim != 2 or len(rows) != len(table.sequences):
        raise ValueError(f"{who} gave an array {rows.shape} for {len(table.sequences)} sequences; [n, D] is needed")
    if not np.isfinite(rows).all():
        raise FindnaError(
            f"{who}: embeddings of the task {task.name} are not finite, so it cannot be scored: "
            "look at the run's losses, or take an earlier checkpoint"
        )
    return rows


def _block(
    task: Task, protocol: str, scored: Mapping[str, Mapping[str, _Prediction]], controls: Mapping[str, _Prediction], seed: int
) -> dict[str, Any]:
    rows = {who: predictions[protocol] for who, predictions in scored.items()}
    others = {name: prediction for name, prediction in {**rows, **controls}.items() if name != "encoder"}
    return {
        **{who: _row(task, prediction, seed) for who, prediction in rows.items()},
        "encoder_minus": {name: _difference(task, rows["encoder"], other, seed) for name, other in others.items()},
    }


def _row(task: Task, prediction: _Prediction, seed: int) -> dict[str, Any]:
    predicted, chosen = prediction
    scores = intervals(task.parts["test"].labels, predicted, len(task.classes), seed=seed)
    # One run was evaluated: the intervals hold the test rows' chance, not that of another pretraining.
    return {"chosen": dict(chosen), **scores, "seeds": 1}


def _difference(task: Task, encoder: _Prediction, control: _Prediction, seed: int) -> dict[str, Any]:
    found = differences(task.parts["test"].labels, encoder[0], control[0], len(task.classes), seed=seed)
    return {name: {**interval, "verdict": verdict(interval)} for name, interval in found.items()}

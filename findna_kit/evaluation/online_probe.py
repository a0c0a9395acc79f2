"""A cheap look at a task while a run goes on: a fixed subset of its training rows, scored on validation rows, never on test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from findna_kit.errors import NotFinite, TaskError
from findna_kit.evaluation.controls import SHOT_WORDS, kmer_features
from findna_kit.evaluation.protocols import PROTOCOLS, Features, choice_score
from findna_kit.evaluation.tasks.splits import held_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.evaluation.evaluate import Embed
    from findna_kit.evaluation.scores import Labels
    from findna_kit.evaluation.tasks import Table, Task

ROWS = 512
_CHOOSING_SHARE = 0.25
_FEWEST = 2
_SEED = 20_261_125
"""Fixed, not the run's: looks of different runs are at the same rows."""


class OnlineProbe:
    """At most 512 training rows, a quarter of them to choose on, and at most 512 validation rows to score on.

    Raises TaskError where that leaves no two classes to learn, or nothing to choose on.
    """

    def __init__(self, task: Task, protocols: Sequence[str]) -> None:
        self.task, self.protocols = task, protocols
        self.train, self.train_labels = _some(task.parts["train"])
        self.scored, self.scored_labels = _some(task.parts["validation"])
        self.chosen_on = held_out(self.train_labels, _CHOOSING_SHARE, _SEED + 1)
        if not self.chosen_on.any() or np.unique(self.train_labels[~self.chosen_on]).size < _FEWEST:
            raise TaskError(
                f"{task.path} has too few training rows of a class to be looked at while a run goes on: "
                "leave evaluation.every out, and it is scored when training ends"
            )

    def __call__(self, embed: Embed) -> dict[str, float]:
        """MCC by `TASK/PROTOCOL/mcc` (accuracy where the validation rows have one class).

        Raises NotFinite for embeddings that are not.
        """
        train, scored = embed(self.train), embed(self.scored)
        if not (np.isfinite(train).all() and np.isfinite(scored).all()):
            raise NotFinite(f"embeddings of the task {self.task.name} are not finite; try a lower learning rate")
        chosen_on, labels = self.chosen_on, self.train_labels
        features = Features(
            train[~chosen_on], labels[~chosen_on], train[chosen_on], labels[chosen_on], len(self.task.classes)
        )  # fmt: skip
        found = {}
        for name in self.protocols:
            predicted = PROTOCOLS[name](features).scores(scored).argmax(1)
            metric, value = choice_score(self.scored_labels, predicted, len(self.task.classes))
            found[f"{self.task.name}/{name}/{metric}"] = value
        return found

    def control(self) -> dict[str, float]:
        """The same of 4-mer counts, which stay as they are."""
        found = self(lambda sequences: kmer_features(sequences, SHOT_WORDS))
        return {f"{name}/kmer": value for name, value in found.items()}


def _some(table: Table) -> tuple[list[str], Labels]:
    """At most ROWS rows, of each class its share."""
    count = len(table.labels)
    kept = np.ones(count, dtype=bool) if count <= ROWS else held_out(table.labels, ROWS / count, _SEED)
    rows = np.flatnonzero(kept)
    return [table.sequences[row] for row in rows], table.labels[rows]

"""Online probe: a task scored cheaply during training, on a fixed subset of its samples, and never on its test split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from findna_kit.errors import NotFinite, TaskError
from findna_kit.evaluation.base_features import kmer_features
from findna_kit.evaluation.controls import FEW_SHOT_K
from findna_kit.evaluation.protocol_table import PROTOCOLS
from findna_kit.evaluation.protocols import Features, choice_score
from findna_kit.evaluation.tasks.splits import held_out
from findna_kit.metrics.names import control_of, task_metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.evaluation.predictions import Embed
    from findna_kit.evaluation.scores import Labels
    from findna_kit.evaluation.tasks import Task, TaskSplit

MAX_SAMPLES = 512
_CHOICE_SHARE = 0.25
_MIN_CLASSES = 2
_SEED = 20_261_125
"""Fixed, and not the run's seed: the probes of different runs use the same samples."""


class OnlineProbe:
    """Scores embeddings on a small part of a task.

    It fits on at most 512 training samples, a quarter of them for the choice of hyperparameters, and scores at most 512
    validation samples. Raises TaskError if fewer than two classes are left to fit on, or no sample for the choice.
    """

    def __init__(self, task: Task, protocols: Sequence[str]) -> None:
        self.task, self.protocols = task, protocols
        self.train, self.train_labels = _subset(task.splits["train"])
        self.scored, self.scored_labels = _subset(task.splits["validation"])
        # Hyperparameters are chosen on a part of the training subset; the scored samples choose nothing.
        self.for_choice = held_out(self.train_labels, _CHOICE_SHARE, _SEED + 1)
        if not self.for_choice.any() or np.unique(self.train_labels[~self.for_choice]).size < _MIN_CLASSES:
            raise TaskError(
                f"{task.path} has too few training samples of a class for an online probe: leave out evaluation.every, "
                "and it is scored when training ends"
            )

    def __call__(self, embed: Embed) -> dict[str, float]:
        """Return the score of each protocol by its metric name; accuracy if the validation samples have one class.

        Raises NotFinite if embeddings are not finite.
        """
        train, scored = embed(self.train), embed(self.scored)
        if not (np.isfinite(train).all() and np.isfinite(scored).all()):
            raise NotFinite(f"embeddings of the task {self.task.name} are not finite; try a lower learning rate")
        choice, labels = self.for_choice, self.train_labels
        features = Features(train[~choice], labels[~choice], train[choice], labels[choice], len(self.task.classes))
        scores = {}
        for name in self.protocols:
            fit = PROTOCOLS[name].fit
            if fit is None:
                raise ValueError(f"{name} fine-tunes the network, which an online probe must not")
            # A fixed seed: the curve must change with the weights alone.
            predicted = fit(features, _SEED).scores(scored).argmax(1)
            metric, value = choice_score(self.scored_labels, predicted, len(self.task.classes))
            scores[task_metric(self.task.name, name, metric)] = value
        return scores

    def control(self) -> dict[str, float]:
        """Return the scores of 4-mer frequencies, which stay the same during training."""
        # Counting gets the same samples and protocol, so that the curves are comparable.
        scores = self(lambda sequences: kmer_features(sequences, FEW_SHOT_K))
        return {control_of(name): value for name, value in scores.items()}


def _subset(split: TaskSplit) -> tuple[list[str], Labels]:
    """Return the sequences and labels of at most MAX_SAMPLES samples, stratified by class."""
    count = len(split.labels)
    chosen = np.ones(count, dtype=bool) if count <= MAX_SAMPLES else held_out(split.labels, MAX_SAMPLES / count, _SEED)
    rows = np.flatnonzero(chosen)
    return [split.sequences[row] for row in rows], split.labels[rows]

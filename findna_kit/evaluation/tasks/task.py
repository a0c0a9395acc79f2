"""A labelled task: training, validation and test splits of sequences, with a class for each."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from findna_kit.evaluation.tasks.task_file import Metric, Published, PublishedFinetuning


@dataclass(frozen=True)
class TaskSplit:
    """One split: sequences, and labels [n] that index the task's classes."""

    sequences: list[str]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """A task. `splits` has train, validation and test; `notes` record what was done to the files to get them.

    path: of the folder or task file, absolute and without links, so that a task has one path however it was typed; of a
    shipped task its name. metric: the score that it is published with. finetune: the published settings, if known.
    """

    name: str
    path: str
    splits: dict[str, TaskSplit]
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    metric: Metric = "mcc"
    published: Published | None = None
    finetune: PublishedFinetuning | None = None

    @cached_property
    def digest(self) -> str:
        """Return the sha256 of the samples, split by split: it identifies what was scored, whatever the file is called."""
        samples = {name: [split.sequences, split.labels.tolist()] for name, split in self.splits.items()}
        return hashlib.sha256(json.dumps([self.classes, samples]).encode()).hexdigest()

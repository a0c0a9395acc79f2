"""A labelled task: three parts of sequences with a class each."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from findna_kit.evaluation.tasks.description import Finetune, Metric, Published


@dataclass(frozen=True)
class Table:
    """One part: `labels` [n] index the task's classes."""

    sequences: list[str]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """`parts` has train, validation and test; `notes` say what was done to the files to get them.

    path: of the folder or task file, absolute and without links, so that a task has one whatever was typed; its name where it
    comes with the package. metric: the score it is published with. finetune: the settings its publisher used, if known.
    """

    name: str
    path: str
    parts: dict[str, Table]
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    metric: Metric = "mcc"
    published: Published | None = None
    finetune: Finetune | None = None

    @cached_property
    def digest(self) -> str:
        """sha256 of the rows, part by part: what a result was measured on, whatever the file is called."""
        rows = {part: [table.sequences, table.labels.tolist()] for part, table in self.parts.items()}
        return hashlib.sha256(json.dumps([self.classes, rows]).encode()).hexdigest()

"""Labelled tasks, scored on frozen embeddings beside their controls.

Embeddings come through a callable: nothing here knows runs.
"""

from __future__ import annotations

from findna_kit.evaluation.evaluate import evaluate, known_protocols
from findna_kit.evaluation.table import table_rows
from findna_kit.evaluation.tasks import Table, Task, load_task

__all__ = ["Table", "Task", "evaluate", "known_protocols", "load_task", "table_rows"]

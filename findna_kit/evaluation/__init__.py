"""Labelled tasks, scored on an encoder beside its controls.

Networks come through callables: nothing here knows runs.
"""

from __future__ import annotations

from findna_kit.evaluation.cache import Cells, Prediction
from findna_kit.evaluation.evaluate import Contender, Evaluation, EvaluationRequest
from findna_kit.evaluation.strand_agreement import strand_disagreement
from findna_kit.evaluation.summary import summarise
from findna_kit.evaluation.table import table_rows
from findna_kit.evaluation.tasks import Table, Task, load_task

__all__ = [
    "Cells",
    "Contender",
    "Evaluation",
    "EvaluationRequest",
    "Prediction",
    "Table",
    "Task",
    "load_task",
    "strand_disagreement",
    "summarise",
    "table_rows",
]

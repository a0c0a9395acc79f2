"""Evaluation on labelled tasks: an encoder and its controls, scored with intervals.

Networks are passed as callables: nothing in this package depends on runs.
"""

from __future__ import annotations

from findna_kit.evaluation.cache import Prediction, PredictionCache
from findna_kit.evaluation.predictions import Contender, Evaluation
from findna_kit.evaluation.request import EvaluationRequest
from findna_kit.evaluation.result_tables import table_rows
from findna_kit.evaluation.strand_agreement import strand_disagreement
from findna_kit.evaluation.task_scores import summarise
from findna_kit.evaluation.tasks import Task, TaskSplit, load_task

__all__ = [
    "Contender",
    "Evaluation",
    "EvaluationRequest",
    "Prediction",
    "PredictionCache",
    "Task",
    "TaskSplit",
    "load_task",
    "strand_disagreement",
    "summarise",
    "table_rows",
]

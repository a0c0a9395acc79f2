"""Labelled tasks: task files, readers of the published formats, and the three splits that they become."""

from findna_kit.evaluation.tasks.load import load_task
from findna_kit.evaluation.tasks.shipped import DATA_VARIABLE, ShippedTask, shipped_tasks
from findna_kit.evaluation.tasks.task import Task, TaskSplit
from findna_kit.evaluation.tasks.task_file import Metric, Published, PublishedFinetuning

__all__ = [
    "DATA_VARIABLE",
    "Metric",
    "Published",
    "PublishedFinetuning",
    "ShippedTask",
    "Task",
    "TaskSplit",
    "load_task",
    "shipped_tasks",
]

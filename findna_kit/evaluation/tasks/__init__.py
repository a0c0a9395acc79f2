"""Labelled tasks: what a task is called, where its files lie, and the three parts that are made of them."""

from findna_kit.evaluation.tasks.description import Finetune, Metric, Published
from findna_kit.evaluation.tasks.load import load_task
from findna_kit.evaluation.tasks.shipped import DATA_VARIABLE, Shipped, shipped_tasks
from findna_kit.evaluation.tasks.task import Table, Task

__all__ = ["DATA_VARIABLE", "Finetune", "Metric", "Published", "Shipped", "Table", "Task", "load_task", "shipped_tasks"]

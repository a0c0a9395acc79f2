"""Names of the metrics in metrics.jsonl: built and parsed here, and nowhere else.

    LABEL/METRIC                          a loss during training, such as masked/loss
    held_out/LABEL/METRIC                 the same loss on the validation windows
    held_out_plain/LABEL/METRIC/BRANCH    on validation windows without augmentation, predicted by one branch
    collapse/BRANCH/SIGNAL                a collapse signal of a branch's embeddings
    baseline/MODEL/METRIC                 a context model at the masked validation positions
    evaluation/TASK/PROTOCOL/SCORE        an online probe's score; TASK may hold slashes; with /kmer at the end: its control

All others (loss, learning_rate, momentum, ...) are single words, or names of a plugin's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

VALIDATION = "held_out/"
PLAIN_VALIDATION = "held_out_plain/"
COLLAPSE = "collapse/"
VALIDATION_SPLIT = (VALIDATION, PLAIN_VALIDATION, COLLAPSE)
"""Prefixes of the metrics that are measured on the validation split, without the scores of tasks."""
BASELINE = "baseline/"
TASK = "evaluation/"
CONTROL = "kmer"
"""The last part of the name of an online probe's control."""


LossMetricName = Callable[[str, str], str]
"""Returns the name of a metric from the label of its loss and the loss's own name for it."""


class MetricKind(Enum):
    """What a metric is measured on."""

    TRAINING = "training"
    VALIDATION = "validation"
    PLAIN_VALIDATION = "plain validation"
    COLLAPSE = "collapse"
    BASELINE = "baseline"
    TASK = "task"
    SCALAR = "scalar"
    """One word, such as learning_rate."""
    OTHER = "other"


@dataclass(frozen=True)
class MetricName:
    """The parts of a metric's name.

    source: the label of the loss, the branch of a collapse signal, the model of a baseline, or the task. detail: the branch
    of a plain validation metric, or the protocol of a task's score. control: whether it is the score of a task's control.
    """

    kind: MetricKind
    source: str
    metric: str
    detail: str = ""
    control: bool = False


def loss_metric(label: str, metric: str) -> str:
    """Return the name of a loss's metric during training."""
    return f"{label}/{metric}"


def validation_metric(label: str, metric: str) -> str:
    """Return the name of a loss's metric on the validation windows."""
    return f"{VALIDATION}{label}/{metric}"


def plain_validation_metric(label: str, metric: str, branch: str) -> str:
    """Return the name of a branch's metric on validation windows without augmentation."""
    return f"{PLAIN_VALIDATION}{label}/{metric}/{branch}"


def collapse_metric(branch: str, signal: str) -> str:
    """Return the name of a branch's collapse signal."""
    return f"{COLLAPSE}{branch}/{signal}"


def baseline_metric(model: str, metric: str) -> str:
    """Return the name of a context model's metric."""
    return f"{BASELINE}{model}/{metric}"


def task_metric(task: str, protocol: str, score: str) -> str:
    """Return the name of an online probe's score."""
    return f"{TASK}{task}/{protocol}/{score}"


def control_of(name: str) -> str:
    """Return the name of the k-mer control of an online probe's score."""
    return f"{name}/{CONTROL}"


def parse(name: str) -> MetricName:
    """Return the parts of a metric's name."""
    # A pattern needs all of its parts, so the loss of a label `collapse` is no signal: `collapse/loss` has two parts only.
    match name.split("/"):
        case ["held_out", label, metric]:
            return MetricName(MetricKind.VALIDATION, label, metric)
        case ["held_out_plain", label, metric, branch]:
            return MetricName(MetricKind.PLAIN_VALIDATION, label, metric, branch)
        case ["collapse", branch, signal]:
            return MetricName(MetricKind.COLLAPSE, branch, signal)
        case ["baseline", model, metric]:
            return MetricName(MetricKind.BASELINE, model, metric)
        # Before the next pattern, which would take the control for a score `kmer`: the name of a task may hold slashes.
        case ["evaluation", *task, protocol, score, "kmer"] if task:
            return MetricName(MetricKind.TASK, "/".join(task), score, protocol, control=True)
        case ["evaluation", *task, protocol, score] if task:
            return MetricName(MetricKind.TASK, "/".join(task), score, protocol)
        case [label, metric]:
            return MetricName(MetricKind.TRAINING, label, metric)
        case [word]:
            return MetricName(MetricKind.SCALAR, "", word)
        case _:
            return MetricName(MetricKind.OTHER, "", name)


def training_losses(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return each loss during training, by its label, from a row of metrics."""
    return _losses(metrics, MetricKind.TRAINING)


def validation_losses(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return each loss on the validation windows, by its label, from a row of metrics."""
    return _losses(metrics, MetricKind.VALIDATION)


def _losses(metrics: Mapping[str, float], kind: MetricKind) -> dict[str, float]:
    parsed = {name: parse(name) for name in metrics}
    return {parts.source: metrics[name] for name, parts in parsed.items() if parts.kind is kind and parts.metric == "loss"}


def has_validation(metrics: dict[str, float]) -> bool:
    """Return whether a row of metrics was written at a validation."""
    # Every validation measures collapse, whatever the losses are; a recipe may have no loss that is validated.
    return any(name.startswith(COLLAPSE) for name in metrics)

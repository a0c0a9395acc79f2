"""Section "Embeddings": plots of a task's test split as each run embeds it, on request only, since they need the models."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from findna_kit.report.blocks import Figure, Note, Panel, Section, TableBlock
from findna_kit.report.figures.canvas import sample
from findna_kit.report.figures.scatter import draw_scatter

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.evaluation.tasks import Task
    from findna_kit.report.blocks import Block
    from findna_kit.report.folders import RunFolder

MAX_SEQUENCES = 600
"""Test sequences that are embedded and drawn, evenly spaced.

It takes seconds on a laptop, and the points can still be told apart.
"""


@dataclass(frozen=True)
class EmbeddingRequest:
    """A task whose test split is embedded. data: folder of the data of shipped tasks."""

    task: str
    data: Path | None = None
    device: str = "auto"
    without: Collection[str] = ()


def embeddings_section(
    part: str, folder: Path, labelled: Sequence[tuple[str, RunFolder]], request: EmbeddingRequest | None
) -> Section:  # fmt: skip
    """Return a plot for each run, or how to get one. Raise FindnaError where a run or the task cannot be loaded."""
    title, key = "Embeddings", f"{part}-embeddings"
    if request is None:
        command = f"findna-kit report {shlex.quote(str(folder))} --embed TASK"
        return Section(key, title, [Note("No embedding plot. Add one with:", missing=True, command=command)])
    from findna_kit.evaluation import load_task  # not needed by a page without embeddings

    task = load_task(request.task, request.data)
    test = task.splits["test"]
    rows = np.linspace(0, len(test.labels) - 1, min(MAX_SEQUENCES, len(test.labels))).round().astype(np.int64)
    labels = test.labels[rows]
    sequences = [test.sequences[row] for row in rows]
    panels: list[Panel] = []
    problems: list[Block] = []
    axes: list[list[str]] = []
    for number, (label, run) in enumerate(labelled):
        embeddings, model = _embed(run, sequences, request)
        if problem := _why_not_drawn(embeddings):
            problems.append(Note(f"{label}: no plot, because {problem}.", missing=True))
            continue
        panel, names = _plot(f"{key}-{number}", label, embeddings, labels, task)
        panels.append(panel)
        axes.append([label, model, *names])
    text = (
        f"Mean-pooled embeddings of {len(rows):,} of the {len(test.labels):,} test sequences of {task.name}, projected by PCA "
        "for each run separately. For visual inspection only: the axes of two runs are unrelated."
    )
    if not panels:
        return Section(key, title, [Note(text), *problems])
    counts = np.bincount(labels, minlength=len(task.classes))
    legend = [
        (f"{name} ({count:,})", sample(index, line=False))
        for index, (name, count) in enumerate(zip(task.classes, counts, strict=True))
    ]
    numbers = TableBlock("Axes", ["run", "model", "horizontal axis", "vertical axis"], axes)
    return Section(key, title, [Note(text), Figure(f"Embeddings of {task.name}", panels, numbers, legend), *problems])


def _embed(run: RunFolder, sequences: Sequence[str], request: EmbeddingRequest) -> tuple[NDArray[np.float32], str]:
    """Return the embeddings [sequences, dim], and which model made them."""
    from findna_kit.inference.frozen_model import load  # loads torch, not needed by a page without embeddings

    model = load(run.folder, device=request.device, without=request.without)
    return model.embed(sequences), f"{model.branch}, step {model.step:,}"


def _why_not_drawn(embeddings: NDArray[np.float32]) -> str | None:
    """Return why a PCA of these embeddings cannot be drawn, None where it can."""
    if not np.isfinite(embeddings).all():
        return "some embeddings are not finite"
    if len(embeddings) < 4:
        return "there are fewer than 4 sequences"
    if embeddings.shape[1] < 2 or (embeddings == embeddings[0]).all():
        return "all embeddings are equal, or have a single dimension"
    return None


def _plot(
    key: str, label: str, embeddings: NDArray[np.float32], labels: NDArray[np.int64], task: Task
) -> tuple[Panel, tuple[str, str]]:  # fmt: skip
    """Return the plot of one run, and the names of its axes."""
    from findna_kit.inference.projection import project  # as above

    positions, names = project(embeddings, "pca")
    classes = [[(float(x), float(y)) for x, y in positions[labels == number]] for number in range(len(task.classes))]
    counts = ", ".join(f"{len(members)} of {name}" for members, name in zip(classes, task.classes, strict=True))
    description = f"{len(positions)} points, {counts}; horizontal axis {names[0]}, vertical axis {names[1]}."
    return Panel(label, draw_scatter(key, label, description, classes, names)), names

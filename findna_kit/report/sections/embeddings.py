"""What a task's test part looks like to a run: made when the page is asked for it, since it needs the model."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from findna_kit.report.blocks import Figure, Note, Panel, Section, Table
from findna_kit.report.figures.canvas import sample
from findna_kit.report.figures.scatter import draw_scatter

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.evaluation.tasks import Task
    from findna_kit.report.blocks import Block
    from findna_kit.report.folders import Run

MOST = 600
"""Test rows that are embedded and drawn, evenly spaced: seconds on a laptop, and few enough that points can be told apart."""


@dataclass(frozen=True)
class Embed:
    """A task whose test part is to be embedded. data: where the data of shipped tasks lie."""

    task: str
    data: Path | None = None
    device: str = "auto"
    without: Collection[str] = ()


def embeddings_section(part: str, of: Path, named: Sequence[tuple[str, Run]], asked: Embed | None) -> Section:
    """A picture for each run of a folder, or how to get one. Raises FindnaError where no run can be loaded, or no task read."""
    title, key = "Embeddings", f"{part}-embeddings"
    if asked is None:
        call = f"findna-kit report {shlex.quote(str(of))} --embed TASK"
        said = "None are shown: they need the model, so a page has them when it is asked for a task's."
        return Section(key, title, [Note(said, missing=True, command=call)])
    from findna_kit.evaluation import load_task

    task = load_task(asked.task, asked.data)
    table = task.splits["test"]
    rows = np.linspace(0, len(table.labels) - 1, min(MOST, len(table.labels))).round().astype(np.int64)
    labels = table.labels[rows]
    sequences = [table.sequences[row] for row in rows]
    panels: list[Panel] = []
    remarks: list[Block] = []
    shares: list[list[str]] = []
    for number, (label, run) in enumerate(named):
        embeddings, whose = _embedded(run, sequences, asked)
        if why := _cannot(embeddings):
            remarks.append(Note(f"{label}: {why}, so there is no picture of them.", missing=True))
            continue
        panel, names = _picture(f"{key}-{number}", label, embeddings, labels, task)
        panels.append(panel)
        shares.append([label, whose, *names])
    said = (
        f"Mean-pooled embeddings of {len(rows):,} of the {len(table.labels):,} test sequences of {task.name}, by PCA of their "
        "own. To be looked at, not measured: axes of two runs have nothing to do with each other."
    )
    if not panels:
        return Section(key, title, [Note(said), *remarks])
    counts = np.bincount(labels, minlength=len(task.classes))
    legend = [
        (f"{name} ({count:,})", sample(place, line=False))
        for place, (name, count) in enumerate(zip(task.classes, counts, strict=True))
    ]
    numbers = Table("What the axes are", ["run", "embedded by", "across", "up"], shares)
    return Section(key, title, [Note(said), Figure(f"Embeddings of {task.name}", panels, numbers, legend), *remarks])


def _embedded(run: Run, sequences: Sequence[str], asked: Embed) -> tuple[NDArray[np.float32], str]:
    from findna_kit.inference.frozen_model import load

    model = load(run.folder, device=asked.device, without=asked.without)
    return model.embed(sequences), f"{model.branch}, step {model.step:,}"


def _cannot(embeddings: NDArray[np.float32]) -> str | None:
    """Why two directions of these cannot be drawn."""
    if not np.isfinite(embeddings).all():
        return "some embeddings are not finite"
    if len(embeddings) < 4:
        return "there are fewer than 4 sequences"
    if embeddings.shape[1] < 2 or (embeddings == embeddings[0]).all():
        return "all embeddings are the same, or of one number"
    return None


def _picture(
    key: str, label: str, embeddings: NDArray[np.float32], labels: NDArray[np.int64], task: Task
) -> tuple[Panel, tuple[str, str]]:  # fmt: skip
    from findna_kit.inference.projection import project

    places, names = project(embeddings, "pca")
    classes = [[(float(x), float(y)) for x, y in places[labels == number]] for number in range(len(task.classes))]
    counted = ", ".join(f"{len(own)} of {name}" for own, name in zip(classes, task.classes, strict=True))
    told = f"{len(places)} points, {counted}; across {names[0]}, up {names[1]}."
    return Panel(label, draw_scatter(key, label, told, classes, names)), names

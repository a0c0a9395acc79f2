"""One training window and its views, drawn as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from findna_kit.data.view_drawing import DrawnView, Line, draw_views
from findna_kit.errors import FindnaError
from findna_kit.records.views_json import ViewsJson

if TYPE_CHECKING:
    from findna_kit.data.genomes import GenomeData
    from findna_kit.data.view_pipeline import ViewPipeline
    from findna_kit.trainer import Experiment

WIDTH = 80
"""Width of a drawing where there is no terminal."""
_BLOCKS = 20
"""Blocks of lines that a run keeps of its drawing: all of a window of 1,300 bases, and the beginning of a longer one."""


def draw_example(
    experiment: Experiment, genome: GenomeData, *, number: int = 0, width: int = WIDTH, blocks: int | None = None
) -> list[Line]:
    """Draw a window of the first training step and its views, exactly as training makes them.

    number: the window's index in the global batch. Raises FindnaError for one that the batch does not have.
    """
    if number >= experiment.batch_size:
        last = experiment.batch_size - 1
        raise FindnaError(f"the batch has no window {number}; give a number from 0 to {last} (data.batch_size - 1)")
    rows = torch.tensor([number])
    window = genome.windows.training.draw(0, rows)
    views = []
    for pipeline in experiment.pipelines:
        # The numbers of a view depend on seed, step and index alone, so that it can be made without the rest of its batch.
        part = pipeline.cropped(window, seed=experiment.seed, step=0, rows=rows)
        view = pipeline.view(window, seed=experiment.seed, step=0, rows=rows)
        first = int(part.origin[0, 0])
        views.append(DrawnView(pipeline.name, _branches(pipeline), view, (first, first + int(part.lengths[0]))))
    start, contig = int(window.start[0]), genome.contigs[int(window.contig[0])].name
    title = f"window {number} of step 0: {contig}:{start}-{start + int(window.lengths[0])} (0-based, half-open)"
    return draw_views(title, window, views, width=width, blocks=blocks)


def example_record(experiment: Experiment, genome: GenomeData) -> ViewsJson:
    """Return the drawing that a run keeps for its report."""
    lines = draw_example(experiment, genome, blocks=_BLOCKS)
    return ViewsJson(lines=[list(line) for line in lines])


def _branches(pipeline: ViewPipeline) -> tuple[str, ...]:
    """Return the branches that see a view."""
    return ("student",) * pipeline.plan.student + ("teacher",) * pipeline.plan.teacher

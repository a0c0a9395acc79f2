"""The command `report`: an HTML page of runs and studies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from findna_kit.cli.completion import complete_task
from findna_kit.cli.console import print_line
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Device, TaskData, Without

if TYPE_CHECKING:
    from findna_kit import report as reports
    from findna_kit.report.sections import embeddings
else:
    reports, embeddings = LazyModule("findna_kit.report"), LazyModule("findna_kit.report.sections.embeddings")


def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN_OR_STUDY...", help="Folders that `run` or `ablate` wrote.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE.html",
            help="Write the page to this file. [default: report.html in the folder of the run or study]",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the report in the file of --out.")] = False,
    embed_task: Annotated[
        str | None,
        typer.Option(
            "--embed",
            metavar="TASK",
            autocompletion=complete_task,
            help="Plot the embeddings that each run gives the test split of this task.",
        ),
    ] = None,
    data: TaskData = None,
    device: Device = "auto",
    without: Without = None,
) -> None:
    """Write an HTML report of runs and studies that works without a network.

    The page shows curves, scores, effects, costs and recipes.
    """
    embed = None if embed_task is None else embeddings.EmbeddingRequest(embed_task, data, device, tuple(without or ()))
    path = reports.write_report(reports.ReportRequest(folders, out, overwrite, embed))
    print_line(f"{path}: the report ({path.stat().st_size / 1e3:,.0f} kB); any browser opens it without a network")

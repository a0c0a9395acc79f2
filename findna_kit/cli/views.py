"""The command `views`: draw a window and its views."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from findna_kit.cli.console import log
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Overrides, RecipeArgument, Without

if TYPE_CHECKING:
    from findna_kit import assemble
    from findna_kit.api import preparation, progress
    from findna_kit.data import genomes
    from findna_kit.runs import example_views, soft_masking
else:
    assemble, preparation = LazyModule("findna_kit.assemble"), LazyModule("findna_kit.api.preparation")
    progress, genomes = LazyModule("findna_kit.api.progress"), LazyModule("findna_kit.data.genomes")
    example_views, soft_masking = LazyModule("findna_kit.runs.example_views"), LazyModule("findna_kit.runs.soft_masking")

_STYLES: dict[str, dict[str, Any]] = {
    "title": {"bold": True}, "faint": {"dim": True}, "inserted": {"fg": "green"}, "changed": {"fg": "red"},
    "masked": {"reverse": True}, "reverse": {"fg": "blue"},
}  # fmt: skip


def views(
    recipe: RecipeArgument,
    window: Annotated[
        int, typer.Option("--window", metavar="N", min=0, help="Draw the window with this number in the first batch.")
    ] = 0,
    width: Annotated[
        int | None,
        typer.Option("--width", metavar="N", min=40, help="Draw lines of N columns. [default: the terminal's width, or 80]"),
    ] = None,
    overrides: Overrides = None,
    without: Without = None,
) -> None:
    """Draw a window and the views that training makes of it, base under base."""
    loaded, _, _ = preparation.load(recipe, overrides or [], without or [])
    # Views need no weights: on the meta device a network of any size takes no memory.
    experiment = assemble.assemble(loaded, device="meta")
    with progress.reading_bar() as reading:
        genome = genomes.open_genomes(loaded.data, loaded.seed, reading)
    experiment.on_genome(genome.contigs)
    for line in soft_masking.missing_soft_masking(experiment, genome):
        log(line)
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else example_views.WIDTH
    for spans in example_views.draw_example(experiment, genome, number=window, width=width or max(columns, 40)):
        # typer removes the colours where stdout is no terminal.
        typer.echo("".join(typer.style(text, **_STYLES.get(style, {})) for text, style in spans))

"""The command `embed`: embed the sequences of a file with the frozen model of a run."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from findna_kit.cli.console import log, print_line
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Branch, Device, Layer, Pooling, RunFolder, Step, Strand, Without
from findna_kit.errors import FindnaError, Interrupted

if TYPE_CHECKING:
    from findna_kit import trainer
    from findna_kit.cli import progress
    from findna_kit.inference import embedding
    from findna_kit.inference.embedding import EmbeddingPlot, plot
else:
    trainer, progress = LazyModule("findna_kit.trainer"), LazyModule("findna_kit.cli.progress")
    embedding, plot = LazyModule("findna_kit.inference.embedding"), LazyModule("findna_kit.inference.embedding.plot")

ProjectionMethod = Literal["pca", "tsne", "umap"]


def embed(
    folder: RunFolder,
    source: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="FASTA or BED, or a CSV or TSV with a column named sequence; plain or gzip."),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Write the embeddings to this file: .npy, .parquet or .zarr.")
    ],
    genome: Annotated[
        str | None, typer.Option("--genome", metavar="FASTA", help="Read the regions of a BED from this FASTA, or builtin.")
    ] = None,
    window: Annotated[
        int | None, typer.Option("--window", metavar="N", min=1, help="Cut the sequences of a FASTA into windows of N bases.")
    ] = None,
    overlap: Annotated[int, typer.Option("--overlap", metavar="N", min=0, help="Let adjacent windows share N bases.")] = 0,
    pooling: Pooling = "mean",
    layer: Layer = None,
    strand: Strand = "forward",
    branch: Branch = None,
    step: Step = None,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing output.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a call that was interrupted.")] = False,
    projector: Annotated[
        Path | None, typer.Option("--projector", metavar="DIR", help="Write files for the projector of TensorBoard.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE", help="Plot the embeddings: .png, .svg or .pdf.")
    ] = None,
    colour: Annotated[
        str | None, typer.Option("--colour", metavar="COLUMN", help="Colour the points of the plot by this column.")
    ] = None,
    method: Annotated[
        ProjectionMethod | None, typer.Option("--method", help="Project to two dimensions by this method. [default: pca]")
    ] = None,
    without: Without = None,
) -> None:
    """Embed the sequences of a file with the frozen model of a run.

    Sequences are streamed in blocks, and an interrupted call can be resumed.
    """
    sequences = embedding.Sequences(source, genome, embedding.tiling(window, overlap))
    output = embedding.Output(out, overwrite, resume)
    options = embedding.EmbedOptions(pooling, layer, strand, branch, step, device, tuple(without or ()))
    plotted = _picture(picture, method, colour)
    if resume:
        plotted = None if plotted and _exist(plotted.path) else plotted
        projector = None if projector and _exist(*(projector / name for name in plot.PROJECTOR)) else projector
    extra_files = [*([plotted.path] if plotted else []), *(projector / name for name in plot.PROJECTOR if projector)]
    plot.refuse_existing(*extra_files, overwrite=overwrite or resume)
    with _interruptible("nothing was embedded"), progress.reading_bar() as reading:
        job = embedding.prepare(folder, sequences, output, options, trainer.Observer(log, reading))
    if plotted is not None:
        plotted.check(job.source.columns, job.source.count)
    with progress.counting_bar("embedding", job.source.count, "sequences") as count:
        job.write(trainer.Observer(log, report=lambda step, metrics: count(step)))
    metadata = job.description
    model = f"the {metadata['branch']} at step {metadata['step']}"
    print_line(f"{out}: {metadata['rows']:,} embeddings of {metadata['dim']} numbers, from {model}")
    if plotted is not None or projector is not None:
        with _interruptible(f"{out} is complete; --resume writes the rest"):
            _plot(out, plotted, projector)


def _picture(path: Path | None, method: ProjectionMethod | None, colour: str | None) -> EmbeddingPlot | None:
    """Return the plot to draw, if any. Raises FindnaError if its method or colour is given without a file."""
    if path is not None:
        return embedding.EmbeddingPlot(path, method or "pca", colour)
    if method is not None or colour is not None:
        raise FindnaError("--method and --colour apply to a plot: give --picture FILE.png as well")
    return None


def _exist(*paths: Path) -> bool:
    """Return whether all files of an earlier call exist, and log that they are kept."""
    exist = all(path.is_file() for path in paths)
    if exist:
        log(f"{paths[0]}: exists already and is kept")
    return exist


@contextmanager
def _interruptible(state: str) -> Iterator[None]:
    """Turn Ctrl-C into a message that states what was done."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(signal.SIGINT, f"stopped by Ctrl-C; {state}") from error


def _plot(out: Path, picture: EmbeddingPlot | None, projector: Path | None) -> None:
    """Read a sample of the embeddings back and write it for the projector and as a plot."""
    rows = embedding.sample(out)
    if len(rows.ids) < rows.description["rows"]:
        log(f"{len(rows.ids):,} of {rows.description['rows']:,} sequences are shown, evenly spaced")
    if projector is not None:
        embedding.write_projector(rows, projector)
        print_line(f"{projector}: `tensorboard --logdir {projector}` shows them in its projector")
    if picture is not None:
        embedding.draw(rows, picture)
        print_line(f"{picture.path}: the plot")

"""The command `embed`: embed the sequences of a file with the frozen model of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from findna_kit.cli.console import log, print_line
from findna_kit.cli.interruption import interruptible
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import (
    Branch,
    Device,
    Layer,
    Overlap,
    OverwriteOutput,
    Pooling,
    RegionGenome,
    ResumeOutput,
    RunFolder,
    SequenceColumn,
    SequenceFile,
    Step,
    Strand,
    Window,
    Without,
)
from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from findna_kit import trainer
    from findna_kit.api import progress
    from findna_kit.inference import embedding
    from findna_kit.inference.embedding import EmbeddingPlot, EmbedOptions, Output, Sequences, plot
else:
    trainer, progress = LazyModule("findna_kit.trainer"), LazyModule("findna_kit.api.progress")
    embedding, plot = LazyModule("findna_kit.inference.embedding"), LazyModule("findna_kit.inference.embedding.plot")

ProjectionMethod = Literal["pca", "tsne", "umap"]


PerBase = Annotated[
    bool, typer.Option("--per-base", help="Write the embedding of every base; of every patch, if the encoder has patches.")
]
Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="Write the embeddings to this file: .npy, .parquet or .zarr.")]
Projector = Annotated[
    Path | None, typer.Option("--projector", metavar="DIR", help="Write files for the projector of TensorBoard.")
]
PictureFile = Annotated[Path | None, typer.Option("--picture", metavar="FILE", help="Plot the embeddings: .png, .svg or .pdf.")]
Colour = Annotated[str | None, typer.Option("--colour", metavar="COLUMN", help="Colour the points of the plot by this column.")]
Method = Annotated[
    ProjectionMethod | None, typer.Option("--method", help="Project to two dimensions by this method. [default: pca]")
]


def embed(
    folder: RunFolder,
    source: SequenceFile,
    out: Out,
    genome: RegionGenome = None,
    window: Window = None,
    overlap: Overlap = 0,
    sequence_column: SequenceColumn = None,
    per_base: PerBase = False,
    pooling: Pooling = "mean",
    layer: Layer = None,
    strand: Strand = "forward",
    branch: Branch = None,
    step: Step = None,
    device: Device = "auto",
    overwrite: OverwriteOutput = False,
    resume: ResumeOutput = False,
    projector: Projector = None,
    picture: PictureFile = None,
    colour: Colour = None,
    method: Method = None,
    without: Without = None,
) -> None:
    """Embed the sequences of a file with the frozen model of a run.

    Sequences are streamed in blocks, and an interrupted call can be resumed.
    """
    sequences = embedding.Sequences(source, genome, embedding.tiling(window, overlap), sequence_column)
    options = embedding.EmbedOptions(pooling, layer, strand, branch, step, device, tuple(without or ()), per_base)
    # The options of plots are checked before the model is loaded.
    plots = _Plots(_picture(picture, method, colour), projector)
    plots.check(options)
    # A resumed call draws only the plots that are missing, and does not ask for --overwrite.
    if resume:
        plots = plots.missing()
    # Existing plots are refused before the embedding starts, which may take hours.
    plot.refuse_existing(*plots.files, overwrite=overwrite or resume)
    _write(folder, sequences, embedding.Output(out, overwrite, resume), options, plots.picture)
    if plots.files:
        with interruptible(f"{out} is complete; --resume writes the rest"):
            plots.write(out)


@dataclass(frozen=True)
class _Plots:
    """What to draw of the embeddings: a picture, and the files of TensorBoard's projector in a folder."""

    picture: EmbeddingPlot | None
    projector: Path | None

    @property
    def files(self) -> list[Path]:
        """Return the files to write."""
        return [*([self.picture.path] if self.picture else []), *_projector_files(self.projector)]

    def check(self, options: EmbedOptions) -> None:
        """Raise FindnaError for plots of an output with one embedding per base."""
        option = "--picture" if self.picture else "--projector" if self.projector else None
        if options.per_base and option:
            raise FindnaError(
                f"{option} draws one point for a sequence, --per-base makes one embedding of each base: leave one out"
            )

    def missing(self) -> _Plots:
        """Return what an earlier call has not drawn."""
        picture = None if self.picture and _exist(self.picture.path) else self.picture
        return _Plots(picture, None if self.projector and _exist(*_projector_files(self.projector)) else self.projector)

    def write(self, embeddings: Path) -> None:
        """Read a sample of the embeddings back and draw it."""
        sample = embedding.sample(embeddings)
        if len(sample.ids) < sample.description["rows"]:
            log(f"{len(sample.ids):,} of {sample.description['rows']:,} sequences are shown, evenly spaced")
        if self.projector is not None:
            embedding.write_projector(sample, self.projector)
            print_line(f"{self.projector}: `tensorboard --logdir {self.projector}` shows them in its projector")
        if self.picture is not None:
            embedding.draw(sample, self.picture)
            print_line(f"{self.picture.path}: the plot")


def _projector_files(folder: Path | None) -> list[Path]:
    """Return the files that TensorBoard's projector reads from a folder; none without a folder."""
    return [] if folder is None else [folder / name for name in plot.PROJECTOR]


def _write(
    run: Path, sequences: Sequences, output: Output, options: EmbedOptions, picture: EmbeddingPlot | None
) -> None:  # fmt: skip
    """Embed the sequences and print what was written."""
    with interruptible("nothing was embedded"), progress.reading_bar() as reading:
        job = embedding.prepare(run, sequences, output, options, trainer.Observer(log, reading))
    if picture is not None:  # known only now: the columns of the input, and how many sequences there are
        picture.check(job.source.columns, job.source.count)
    with progress.counting_bar("embedding", job.source.count, "sequences") as count:
        job.write(trainer.Observer(log, report=lambda step, metrics: count(step)))
    metadata = job.description
    model = f"the {metadata['branch']} at step {metadata['step']}"
    if options.per_base:
        per = {1: "base"}.get(stride := metadata["bases_per_embedding"], f"patch of {stride} bases")
        of = f"of {metadata['dim']} numbers, one per {per} of {metadata['rows']:,} sequences"
        print_line(f"{output.path}: {metadata['embeddings']:,} embeddings {of}, from {model}")
        return
    print_line(f"{output.path}: {metadata['rows']:,} embeddings of {metadata['dim']} numbers, from {model}")


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
        log(f"{paths[0]}: already exists and is kept")
    return exist

"""The command `mutagenesis`: the score of every substitution of the sequences of a file, as a table and as sequence logos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from findna_kit.cli.console import print_line
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import (
    Branch,
    Device,
    Overlap,
    OverwriteOutput,
    RegionGenome,
    RunFolder,
    SequenceColumn,
    SequenceFile,
    Step,
    Window,
    Without,
)

if TYPE_CHECKING:
    from findna_kit.api import progress
    from findna_kit.inference import embedding, mutagenesis_file
else:
    progress, embedding = LazyModule("findna_kit.api.progress"), LazyModule("findna_kit.inference.embedding")
    mutagenesis_file = LazyModule("findna_kit.inference.mutagenesis_file")


def mutagenesis(
    folder: RunFolder,
    source: SequenceFile,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Write the scores to this file: .tsv or .tsv.gz.")],
    genome: RegionGenome = None,
    window: Window = None,
    overlap: Overlap = 0,
    sequence_column: SequenceColumn = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE", help="Draw sequence logos: .png, .svg or .pdf.")
    ] = None,
    score: Annotated[
        Literal["llr", "cosine", "euclidean"],
        typer.Option("--score", help="Log-likelihood ratio of the masked base, or a distance between embeddings."),
    ] = "llr",
    strand: Annotated[
        Literal["forward", "both"], typer.Option("--strand", help="Score the sequence as given, or average both strands.")
    ] = "forward",
    branch: Branch = None,
    step: Step = None,
    device: Device = "auto",
    overwrite: OverwriteOutput = False,
    without: Without = None,
) -> None:
    """Score every single-base substitution of the sequences of a file.

    The table has one row per base. In a logo, the height of a base is the mean over its three substitutions.
    """
    sequences = embedding.Sequences(source, genome, embedding.tiling(window, overlap), sequence_column)
    output = mutagenesis_file.MutagenesisOutput(out, picture, overwrite)
    request = mutagenesis_file.MutagenesisRequest(score, strand, branch, step, device, tuple(without or ()))
    with progress.reading_bar() as reading:
        done = mutagenesis_file.write_mutagenesis(
            folder, sequences, output, request, reading=reading, progress=progress.log_counts("scoring", "sequences")
        )
    print_line(f"{out}: {score} of {done.substitutions:,} substitutions of {done.sequences:,} sequences, from {done.model}")
    if picture is not None:
        print_line(f"{picture}: the logo")

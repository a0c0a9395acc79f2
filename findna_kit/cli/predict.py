"""The command `predict`: predict the sequences of a file with a fine-tuned model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from findna_kit.cli.console import log, print_line
from findna_kit.cli.interruption import interruptible
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import (
    Device,
    Overlap,
    OverwriteOutput,
    ResumeOutput,
    SequenceColumn,
    Without,
)

if TYPE_CHECKING:
    from findna_kit import trainer
    from findna_kit.api import progress
    from findna_kit.finetuned import predict as predicting
    from findna_kit.inference import embedding
else:
    trainer, progress = LazyModule("findna_kit.trainer"), LazyModule("findna_kit.api.progress")
    embedding, predicting = LazyModule("findna_kit.inference.embedding"), LazyModule("findna_kit.finetuned.predict")


def predict(
    folder: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a fine-tuned model.")],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="FASTA, BED, or a CSV, TSV or parquet with a column named sequence, seq or dna, plain or gzip; or a VCF.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Write the predictions to this file: .tsv, .csv or .parquet.")
    ],
    genome: Annotated[
        str | None,
        typer.Option("--genome", metavar="FASTA", help="Read the regions of a BED or VCF from this FASTA, or builtin."),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            "--window", metavar="N", min=1, help="Cut a FASTA into windows of N bases, or take N bases around each variant."
        ),
    ] = None,
    overlap: Overlap = 0,
    sequence_column: SequenceColumn = None,
    device: Device = "auto",
    overwrite: OverwriteOutput = False,
    resume: ResumeOutput = False,
    without: Without = None,
) -> None:
    """Predict the sequences of a file with a fine-tuned model.

    Sequences are streamed in blocks, and an interrupted call can be resumed.
    """
    sequences = embedding.Sequences(source, genome, embedding.tiling(window, overlap), sequence_column)
    output = predicting.output_of(folder, out, overwrite=overwrite, resume=resume)
    with interruptible("nothing was predicted"), progress.reading_bar() as reading:
        job = predicting.prepare_predictions(
            folder, sequences, output, trainer.Observer(log, reading), device=device, without=tuple(without or ())
        )  # fmt: skip
    with progress.counting_bar("predicting", job.source.count, "sequences") as count:
        job.write(trainer.Observer(log, report=lambda step, metrics: count(step)))
    print_line(f"{out}: {job.source.count:,} predictions of {job.model.record.task}")

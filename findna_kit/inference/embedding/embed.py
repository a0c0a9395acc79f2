"""Embed a file of sequences into a file of embeddings, block by block."""

from __future__ import annotations

import hashlib
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit import checkpoint
from findna_kit.data.table_columns import ColumnNames
from findna_kit.inference import frozen_model
from findna_kit.inference.embedding import formats
from findna_kit.inference.embedding.blocks import BASES
from findna_kit.inference.embedding.inputs import open_source
from findna_kit.inference.embedding.job import BlockJob, made_with
from findna_kit.model.branch import pooled_width

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from findna_kit.inference.embedding.description import EmbeddingDescription
    from findna_kit.inference.embedding.inputs import SequenceSource, Tiling
    from findna_kit.inference.embedding.job import Output
    from findna_kit.inference.frozen_model import BranchName, FrozenModel, Pooling, Strand
    from findna_kit.trainer import Observer


@dataclass(frozen=True)
class EmbedOptions:
    """How sequences are embedded: the arguments of `findna_kit.load` and of `FrozenModel.embed`."""

    pooling: Pooling = "mean"
    layer: int | None = None
    strand: Strand = "forward"
    branch: BranchName | None = None
    step: int | None = None
    device: str = "auto"
    without: Collection[str] = ()


@dataclass(frozen=True)
class Sequences:
    """The input file; for a BED the genome as well, and optionally how a FASTA is cut, and which column of a table is read."""

    path: Path
    genome: str | None = None
    windows: Tiling | None = None
    column: str | None = None

    def open(self, observer: Observer) -> SequenceSource:
        """Open the file. Raises FindnaError if it cannot be read, or if an option does not fit its format."""
        columns = None if self.column is None else ColumnNames(self.column)
        return open_source(self.path, genome=self.genome, windows=self.windows, columns=columns, reading=observer.reading)


@dataclass
class EmbeddingJob(BlockJob):
    """A loaded model, the sequences to embed with it, and where the embeddings go."""

    description: EmbeddingDescription
    model: FrozenModel
    options: EmbedOptions

    def compute(self, sequences: list[str]) -> NDArray[np.float32]:
        """Return the embeddings [n, D] of a block of sequences."""
        return self.model.embed(sequences, self.options.pooling, layer=self.options.layer, strand=self.options.strand)

    def write(self, observer: Observer) -> None:
        """Embed the sequences that are not embedded yet, and write the output and the files next to it."""
        with _one_warning(self, observer):
            super().write(observer)


def prepare(run: Path, sequences: Sequences, output: Output, options: EmbedOptions, observer: Observer) -> EmbeddingJob:
    """Load the run and open the sequences; write nothing yet. Raises FindnaError if either cannot be used."""
    model = frozen_model.load(run, options.branch, step=options.step, device=options.device, without=options.without)
    model.check_pooling(options.pooling, options.layer)
    source = sequences.open(observer)
    formats.check_columns(output.path, source.columns)
    weights = checkpoint.path_of(run, model.step) / checkpoint.MODEL
    # The digest of the weights, not the path of the run, decides whether a resumed call embeds with the same model.
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    description: EmbeddingDescription = {
        "run": str(run.resolve()), "name": model.recipe.name, "step": model.step, "branch": model.branch, "weights": digest,
        "pooling": options.pooling, "layer": options.layer, "strand": options.strand,
        "precision": model.precision, "dim": pooled_width(options.pooling, model.dim),
        "rows": source.count, "columns": list(source.columns), "input": source.description,
        "made_with": made_with(model.engine.device.type),
    }  # fmt: skip
    return EmbeddingJob(source, output, description, model, options)


@contextmanager
def _one_warning(job: EmbeddingJob, observer: Observer) -> Iterator[None]:
    """Log once that some sequences are long, in place of a warning from `FrozenModel.embed` for every block."""
    # An encoder without a bound takes a whole contig in one pass, which may need much memory: the user is told.
    bound, longest = job.model.network.encoder.max_length, job.source.longest
    if bound is None or longest <= bound:
        if longest > BASES:
            observer.log(
                f"the longest sequence has {longest:,} bases and is embedded in one pass; --window N cuts a FASTA into windows"
            )
        yield
        return
    observer.log(
        f"sequences longer than the encoder's {bound} are averaged over overlapping windows (the longest has {longest:,} bases)"
    )
    quiet = logging.Filter("another logger")  # lets pass only records of that name, of which there are none
    frozen_model.log.addFilter(quiet)
    try:
        yield
    finally:
        frozen_model.log.removeFilter(quiet)

"""Embed a file of sequences into a file of embeddings, block by block."""

from __future__ import annotations

import hashlib
import logging
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from findna_kit import alphabet, checkpoint
from findna_kit.data.sequences import as_sequences
from findna_kit.data.table_columns import ColumnNames
from findna_kit.errors import FindnaError
from findna_kit.inference import batched_network, frozen_model
from findna_kit.inference.embedding import blocks, formats
from findna_kit.inference.embedding.description import PLACE
from findna_kit.inference.embedding.inputs import open_source
from findna_kit.inference.embedding.job import BlockJob, made_with
from findna_kit.inference.per_base import check_per_base, embed_bases, row_count
from findna_kit.model.branch import pooled_width

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.inference.embedding.description import EmbeddingDescription
    from findna_kit.inference.embedding.inputs import Row, SequenceSource, Tiling
    from findna_kit.inference.embedding.job import Output
    from findna_kit.inference.embedding.partial_output import PartialOutput
    from findna_kit.inference.frozen_model import BranchName, FrozenModel, Pooling, Strand
    from findna_kit.trainer import Observer


@dataclass(frozen=True)
class EmbedOptions:
    """Options of an embedding: the arguments of `findna_kit.load` and of `FrozenModel.embed`."""

    pooling: Pooling = "mean"
    layer: int | None = None
    strand: Strand = "forward"
    branch: BranchName | None = None
    step: int | None = None
    device: str = "auto"
    without: Collection[str] = ()
    per_base: bool = False

    def __post_init__(self) -> None:
        """Raise FindnaError for a pooling of single bases."""
        if self.per_base and self.pooling != "mean":
            raise FindnaError(
                f"--pooling {self.pooling} makes one embedding of a sequence, --per-base one of each base: leave one out"
            )

    def check(self, model: FrozenModel) -> None:
        """Raise FindnaError if the model cannot embed like this."""
        if self.per_base:
            check_per_base(model, self.layer, self.strand)
        else:
            model.check_pooling(self.pooling, self.layer)


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


class PerBaseJob(EmbeddingJob):
    """An embedding job with one embedding per base, or per patch; its ids tell which of them belong to a sequence."""

    def blocks(self, rows: Iterator[Row]) -> Iterator[list[Row]]:
        """Group rows into smaller blocks than those of pooled embeddings, because every base has an embedding in memory."""
        return blocks.blocks(rows, lambda row: len(row[1]), blocks.PER_BASE)

    def append(self, rows: PartialOutput, block: list[Row]) -> None:
        """Embed the bases of a block and write them, with the place of the embeddings of each sequence."""
        tokens = [alphabet.encode(sequence) for sequence in as_sequences([sequence for _, sequence in block])]
        embedded = embed_bases(self.model, tokens, self.options.layer, self.options.strand)
        counts = [len(of_bases) for of_bases in embedded]
        # Places are stored, so that a reader finds a sequence without adding up the counts of all sequences before it.
        places = rows.embedded + np.cumsum([0, *counts[:-1]])
        ids = [(*cells, str(place), str(count)) for (cells, _), place, count in zip(block, places, counts, strict=True)]
        rows.append(ids, np.concatenate(embedded))


def prepare(run: Path, sequences: Sequences, output: Output, options: EmbedOptions, observer: Observer) -> EmbeddingJob:
    """Load the run and open the sequences; write nothing yet. Raises FindnaError if either cannot be used."""
    model = frozen_model.load(run, options.branch, step=options.step, device=options.device, without=options.without)
    options.check(model)
    source = sequences.open(observer)
    formats.check_columns(output.path, source.columns, per_base=options.per_base)
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
    if options.per_base:
        return _per_base_job(source, output, description, model, options)
    return EmbeddingJob(source, output, description, model, options)


def _per_base_job(
    source: SequenceSource, output: Output, description: EmbeddingDescription, model: FrozenModel, options: EmbedOptions
) -> PerBaseJob:
    """Return the job that writes one embedding per base, whose ids have columns that locate them."""
    if source.longest > blocks.BASES:
        raise FindnaError(
            f"--per-base: the longest sequence has {source.longest:,} bases, whose embeddings are too many for the memory (at "
            f"most {blocks.BASES:,}); cut a FASTA with --window N, or give shorter regions"
        )
    stride = model.network.encoder.stride
    # The file has to state its number of embeddings before the first of them, hence one more pass over the sequences.
    count = sum(row_count(len(sequence), stride) for _, sequence in source.rows(0))
    columns = (*source.columns, *PLACE)
    located: EmbeddingDescription = {
        **description, "pooling": "none", "dim": model.dim, "columns": list(columns), "bases_per_embedding": stride,
        "embeddings": count,
    }  # fmt: skip
    source = replace(source, columns=columns, integers=source.integers | set(PLACE))
    return PerBaseJob(source, output, located, model, options)


@contextmanager
def _one_warning(job: EmbeddingJob, observer: Observer) -> Iterator[None]:
    """Log once that some sequences are long, in place of a warning from `FrozenModel.embed` for every block."""
    # An encoder without a bound takes a whole contig in one pass, which may need much memory: the user is told.
    bound, longest = job.model.network.encoder.max_length, job.source.longest
    if bound is None or longest <= bound:
        if longest > blocks.BASES:
            observer.log(
                f"the longest sequence has {longest:,} bases and is embedded in one pass; --window N cuts a FASTA into windows"
            )
        yield
        return
    observer.log(
        f"sequences longer than the encoder's {bound} are averaged over overlapping windows (the longest has {longest:,} bases)"
    )
    quiet = logging.Filter("another logger")  # lets pass only records of that name, of which there are none
    batched_network.log.addFilter(quiet)
    try:
        yield
    finally:
        batched_network.log.removeFilter(quiet)

"""Embed a file of sequences into a file of embeddings, block by block."""

from __future__ import annotations

import hashlib
import logging
import platform
import signal
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import torch

from findna_kit import alphabet, checkpoint
from findna_kit.errors import FindnaError, Interrupted
from findna_kit.inference import batched_network, frozen_model
from findna_kit.inference.embedding import formats, partial_output
from findna_kit.inference.embedding.description import PLACE
from findna_kit.inference.embedding.inputs import open_source
from findna_kit.inference.per_base import check_per_base, embed_bases, row_count
from findna_kit.model.branch import pooled_width

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.inference.embedding.description import EmbeddingDescription
    from findna_kit.inference.embedding.inputs import Row, SequenceSource, Tiling
    from findna_kit.inference.frozen_model import BranchName, FrozenModel, Pooling, Strand
    from findna_kit.trainer import Observer

_ROWS, _BASES = 1024, 1 << 20
"""Largest number of sequences and of bases in a block. A block is what a kill can lose, and what is held in memory."""
_PER_BASE = 1 << 16
"""Largest number of bases in a block if each gets an embedding."""


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
    per_base: bool = False

    def __post_init__(self) -> None:
        """Raise FindnaError for a pooling of single bases."""
        if self.per_base and self.pooling != "mean":
            raise FindnaError(f"--pooling {self.pooling} makes one embedding of a sequence, --per-base one of each base")

    def check(self, model: FrozenModel) -> None:
        """Raise FindnaError if the model cannot embed like this."""
        if self.per_base:
            check_per_base(model, self.layer, self.strand)
        else:
            model.check_pooling(self.pooling, self.layer)


@dataclass(frozen=True)
class Output:
    """The output file, and what may happen to one that exists."""

    path: Path
    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        """Raise FindnaError for options that exclude each other, an unknown suffix or a missing package; OutputExists."""
        if self.overwrite and self.resume:
            raise FindnaError("--overwrite starts again and --resume continues: give only one of them")
        formats.format_of(self.path)
        resuming = partial_output.read_state(self.path) is not None or formats.read_description(self.path) is not None
        formats.refuse_existing(self.path, replace=self.overwrite or (self.resume and resuming))


@dataclass(frozen=True)
class Sequences:
    """The input file; for a BED the genome as well, and optionally how a FASTA is cut into windows."""

    path: Path
    genome: str | None = None
    windows: Tiling | None = None


@dataclass
class EmbeddingJob:
    """A loaded model, the sequences to embed with it, and where the embeddings go."""

    model: FrozenModel
    source: SequenceSource
    options: EmbedOptions
    output: Output
    description: EmbeddingDescription

    def write(self, observer: Observer) -> None:
        """Embed the sequences that are not embedded yet, and write the output and the files next to it.

        Does nothing if the output is complete. Calls `observer.report(rows done, {})` after each block. Raises FindnaError if
        `resume` finds other embeddings or the disk refuses, Interrupted on Ctrl-C.
        """
        out, resume = self.output.path, self.output.resume
        existing = formats.read_description(out)
        if resume and existing is not None and partial_output.read_state(out) is None:
            partial_output.check_same_embeddings(existing, self.description, out)
            partial_output.remove(out)
            observer.log(f"{out}: is complete already ({existing['rows']} rows); there is nothing to embed")
            return
        with partial_output.acquire(out, self.description, resume=resume, overwrite=self.output.overwrite) as rows:
            self._log_changes(observer)
            try:
                with _one_warning(self, observer):
                    self._embed(rows, observer)
                with partial_output.disk_errors(rows.folder):
                    formats.finish(rows, out, self.source.integers)
            except KeyboardInterrupt as error:
                # The count on the disk, not that in memory: the signal may have arrived between writing and counting.
                done = (partial_output.read_state(out) or {"rows": 0})["rows"]
                message = f"{rows.folder}: {done} of {self.source.count} rows are saved; continue with --resume"
                raise Interrupted(signal.SIGINT, message) from error
        partial_output.remove(out)

    def _embed(self, rows: partial_output.PartialOutput, observer: Observer) -> None:
        """Embed and append every block that is missing."""
        for block in _blocks(self.source.rows(rows.rows), _PER_BASE if self.options.per_base else _BASES):
            ids, sequences = [ids for ids, _ in block], [sequence for _, sequence in block]
            if self.options.per_base:
                rows.append(*_embed_bases(self.model, self.options, ids, sequences, rows.embedded))
            else:
                rows.append(ids, _embed(self.model, self.options, sequences))
            observer.report(rows.rows, {})
        # The count was taken when the file was opened; a file that shrank since must not give a complete output.
        if rows.rows != self.source.count:
            raise FindnaError(f"{self.description['input']['path']} changed while it was read; start again with --overwrite")

    def _log_changes(self, observer: Observer) -> None:
        """Log where a resumed job starts, and every version or device that differs from those of the first call."""
        state = partial_output.read_state(self.output.path)
        if state is not None and state["rows"]:
            observer.log(f"{self.output.path}: continuing after row {state['rows']} of {self.source.count}")
            before, now = state["description"]["made_with"], self.description["made_with"]
            for name in now:
                if before.get(name) != now[name]:
                    observer.log(f"resumed with {name} {now[name]}, was {before.get(name)}: equal to rounding, not bit for bit")


def prepare(run: Path, sequences: Sequences, output: Output, options: EmbedOptions, observer: Observer) -> EmbeddingJob:
    """Load the run and open the sequences; write nothing yet. Raises FindnaError if either cannot be used."""
    model = frozen_model.load(run, options.branch, step=options.step, device=options.device, without=options.without)
    options.check(model)
    source = open_source(sequences.path, genome=sequences.genome, windows=sequences.windows, reading=observer.reading)
    formats.check_columns(output.path, source.columns, per_base=options.per_base)
    weights = checkpoint.path_of(run, model.step) / checkpoint.MODEL
    # The digest of the weights, not the path of the run, decides whether a resumed call embeds with the same model.
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    description: EmbeddingDescription = {
        "run": str(run.resolve()), "name": model.recipe.name, "step": model.step, "branch": model.branch, "weights": digest,
        "pooling": options.pooling, "layer": options.layer, "strand": options.strand,
        "precision": model.precision, "dim": pooled_width(options.pooling, model.dim),
        "rows": source.count, "columns": list(source.columns), "input": source.description, "made_with": _made_with(model),
    }  # fmt: skip
    if options.per_base:
        source = _per_base(source, model, description)
    return EmbeddingJob(model, source, options, output, description)


def _per_base(source: SequenceSource, model: FrozenModel, description: EmbeddingDescription) -> SequenceSource:
    """Describe an output with one embedding per base, and return the source with the columns that locate them."""
    if source.longest > _BASES:
        raise FindnaError(
            f"--per-base: the longest sequence has {source.longest:,} bases, whose embeddings are too many for the memory (at "
            f"most {_BASES:,}); cut a FASTA with --window N, or give shorter regions"
        )
    stride = model.network.encoder.stride
    # The file has to state its number of rows before the first of them, hence one more pass over the sequences.
    count = sum(row_count(len(sequence), stride) for _, sequence in source.rows(0))
    columns = (*source.columns, *PLACE)
    added: EmbeddingDescription = {
        **description, "pooling": "none", "dim": model.dim, "columns": list(columns), "bases_per_embedding": stride,
        "embeddings": count,
    }  # fmt: skip
    description.update(added)
    return replace(source, columns=columns, integers=source.integers | set(PLACE))


def _embed_bases(
    model: FrozenModel, options: EmbedOptions, ids: list[tuple[str, ...]], sequences: list[str], first: int
) -> tuple[list[tuple[str, ...]], NDArray[np.float32]]:
    """Return the ids with the place of their embeddings, of which the first has the number `first`; and all embeddings."""
    embedded = embed_bases(model, [alphabet.encode(sequence) for sequence in sequences], options.layer, options.strand)
    counts = [len(rows) for rows in embedded]
    places = first + np.cumsum([0, *counts[:-1]])
    located = [(*cells, str(place), str(count)) for cells, place, count in zip(ids, places, counts, strict=True)]
    return located, np.concatenate(embedded)


def _embed(model: FrozenModel, options: EmbedOptions, sequences: list[str]) -> NDArray[np.float32]:
    """Return the embeddings [n, D] of a block of sequences."""
    return model.embed(sequences, options.pooling, layer=options.layer, strand=options.strand)


def _blocks(rows: Iterator[Row], bases_in_block: int) -> Iterator[list[Row]]:
    """Group rows into blocks. Starting at the first row of any block gives the same blocks, so that resuming is exact."""
    block: list[Row] = []
    bases = 0
    for row in rows:
        # A sequence longer than that is a block of its own.
        if block and (len(block) == _ROWS or bases + len(row[1]) > bases_in_block):
            yield block
            block, bases = [], 0
        block.append(row)
        bases += len(row[1])
    if block:
        yield block


def _made_with(model: FrozenModel) -> dict[str, str | int]:
    """Return the device, threads and versions, which decide whether embeddings are equal bit for bit."""
    device = next(model.network.parameters()).device.type
    versions = {name: version(name) for name in ("findna-kit", "torch", "numpy")}
    return {"device": device, "threads": torch.get_num_threads(), "python": platform.python_version(), **versions}


@contextmanager
def _one_warning(job: EmbeddingJob, observer: Observer) -> Iterator[None]:
    """Log once that some sequences are long, in place of a warning from `FrozenModel.embed` for every block."""
    # An encoder without a bound takes a whole contig in one pass, which may need much memory: the user is told.
    bound, longest = job.model.network.encoder.max_length, job.source.longest
    if bound is None or longest <= bound:
        if longest > _BASES:
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

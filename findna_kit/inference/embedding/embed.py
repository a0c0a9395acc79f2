"""A file of sequences becomes a file of embeddings, a block at a time."""

from __future__ import annotations

import hashlib
import logging
import platform
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch

from findna_kit import checkpoint
from findna_kit.errors import FindnaError, Interrupted
from findna_kit.inference import frozen_model
from findna_kit.inference.embedding import formats, partial_output
from findna_kit.inference.embedding.inputs import open_source

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from findna_kit.inference.embedding.inputs import Cut, Row, Source
    from findna_kit.inference.frozen_model import FrozenModel, Pooling, Strand, Which
    from findna_kit.trainer import Observer

_ROWS, _BASES = 1024, 1 << 20
"""Of a block, at most: what a kill can cost, and what is held in memory."""


@dataclass(frozen=True)
class EmbedOptions:
    """How sequences are embedded: as of `findna_kit.load` and `FrozenModel.embed`."""

    pooling: Pooling = "mean"
    layer: int | None = None
    strand: Strand = "forward"
    branch: Which | None = None
    step: int | None = None
    device: str = "auto"
    without: Collection[str] = ()


@dataclass(frozen=True)
class Output:
    """Where embeddings go, and what may be done with what is there."""

    path: Path
    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        """Raises FindnaError where both are said, for another suffix, a missing package, and what may not be replaced."""
        if self.overwrite and self.resume:
            raise FindnaError("--overwrite begins anew and --resume goes on: give one of them")
        formats.format_of(self.path)
        resuming = partial_output.state_of(self.path) is not None or formats.read_description(self.path) is not None
        formats.refuse_what_is_there(self.path, replace=self.overwrite or (self.resume and resuming))


@dataclass(frozen=True)
class Sequences:
    """What to embed: a file; of a BED the genome; of a FASTA the windows."""

    path: Path
    genome: str | None = None
    cut: Cut | None = None


@dataclass
class Embedding:
    """A run's model and the sequences that it is to embed, both opened and found good."""

    model: FrozenModel
    source: Source
    way: EmbedOptions
    output: Output
    description: dict[str, Any] = field(default_factory=dict)

    def write(self, observer: Observer) -> None:
        """Embeds what is not there yet, and leaves the output with what lies beside it; nothing where it is whole.

        observer.report(rows done, {}) is called after each block. Raises FindnaError where `resume` finds other embeddings, or
        what cannot be written; Interrupted.
        """
        out, resume = self.output.path, self.output.resume
        told = formats.read_description(out)
        if resume and told is not None and partial_output.state_of(out) is None:
            partial_output.refuse_another(told, self.description, out)
            partial_output.remove(out)
            observer.log(f"{out}: is whole already, {told['rows']} rows; nothing is embedded")
            return
        with partial_output.claimed(out, self.description, resume=resume, overwrite=self.output.overwrite) as rows:
            self._say_changes(observer)
            try:
                with _said_once(self, observer):
                    self._embed(rows, observer)
                with partial_output.writing(rows.folder):
                    formats.finish(rows, out, self.source.integers)
            except KeyboardInterrupt as error:
                # What is on the disk, and not what is counted here: it may have come between the two.
                done = (partial_output.state_of(out) or {"rows": 0})["rows"]
                kept = f"{rows.folder}: {done} of {self.source.count} rows are kept; go on with --resume"
                raise Interrupted(signal.SIGINT, kept) from error
        partial_output.remove(out)

    def _embed(self, rows: partial_output.Part, observer: Observer) -> None:
        for block in _blocks(self.source.rows(rows.rows)):
            rows.append([ids for ids, _ in block], _embed(self.model, self.way, [sequence for _, sequence in block]))
            observer.report(rows.rows, {})
        if rows.rows != self.source.count:
            raise FindnaError(f"{self.description['input']['path']} changed while it was read; begin anew with --overwrite")

    def _say_changes(self, observer: Observer) -> None:
        left = partial_output.state_of(self.output.path) or {}
        if left.get("rows"):
            observer.log(f"{self.output.path}: going on after row {left['rows']} of {self.source.count}")
            was, now = left["description"]["made_with"], self.description["made_with"]
            for name in now:
                if was.get(name) != now[name]:
                    observer.log(f"resumed with {name} {now[name]}, was {was.get(name)}: equal to rounding, not bit for bit")


def prepare(run: Path, sequences: Sequences, output: Output, way: EmbedOptions, observer: Observer) -> Embedding:
    """Opens the run and the sequences. Raises FindnaError for what either is not, or cannot give; nothing is written."""
    model = frozen_model.load(run, way.branch, step=way.step, device=way.device, without=way.without)
    model.refuse(way.pooling, way.layer)
    source = open_source(sequences.path, genome=sequences.genome, cut=sequences.cut, reading=observer.reading)
    formats.refuse_columns(output.path, source.columns)
    weights = checkpoint.path_of(run, model.step) / checkpoint.MODEL
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    description = {
        "run": str(run.resolve()), "name": model.recipe.name, "step": model.step, "branch": model.branch, "weights": digest,
        "pooling": way.pooling, "layer": way.layer, "strand": way.strand, "precision": model.precision, "dim": model.dim,
        "rows": source.count, "columns": list(source.columns), "input": source.description, "made_with": _made_with(model),
    }  # fmt: skip
    return Embedding(model, source, way, output, description)


def _embed(model: FrozenModel, way: EmbedOptions, sequences: list[str]) -> Any:
    return model.embed(sequences, way.pooling, layer=way.layer, strand=way.strand)


def _blocks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Rows that are embedded and kept together: from any block's first row on, the blocks are the same."""
    block: list[Row] = []
    bases = 0
    for row in rows:
        if block and (len(block) == _ROWS or bases + len(row[1]) > _BASES):
            yield block
            block, bases = [], 0
        block.append(row)
        bases += len(row[1])
    if block:
        yield block


def _made_with(model: FrozenModel) -> dict[str, Any]:
    device = next(model.network.parameters()).device.type
    versions = {name: version(name) for name in ("findna-kit", "torch", "numpy")}
    return {"device": device, "threads": torch.get_num_threads(), "python": platform.python_version(), **versions}


@contextmanager
def _said_once(embedding: Embedding, observer: Observer) -> Iterator[None]:
    """Long sequences are told of before the first block, in place of a line from `embed` for every block."""
    bound, longest = embedding.model.network.encoder.max_length, embedding.source.longest
    if bound is None or longest <= bound:
        if longest > _BASES:
            observer.log(
                f"the longest sequence has {longest:,} bases and goes through the encoder whole; --window N cuts a FASTA"
            )
        yield
        return
    observer.log(f"sequences beyond the encoder's {bound} are averages of overlapping windows (the longest has {longest:,})")
    quiet = logging.Filter("none of that name")
    frozen_model.log.addFilter(quiet)
    try:
        yield
    finally:
        frozen_model.log.removeFilter(quiet)

"""`findna-kit mutagenesis`: the scores of all substitutions of the sequences of a file, as a table and as sequence logos."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

from findna_kit import alphabet
from findna_kit.errors import FindnaError
from findna_kit.inference import logo
from findna_kit.inference.embedding.inputs import open_source
from findna_kit.inference.embedding.tsv import tsv
from findna_kit.inference.frozen_model import load
from findna_kit.inference.mutations import check_mutagenesis, importance
from findna_kit.inference.variants.output import check_output, open_output

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from findna_kit.inference.batched_network import BranchName, Strand
    from findna_kit.inference.embedding.inputs import SequenceSource
    from findna_kit.inference.mutations import Score

SUFFIXES = (".tsv", ".tsv.gz")
COLUMNS = ("position", "base", *"ACGT")
"""Columns of the table after the ids of the sequence. position: 0-based, in the sequence."""


@dataclass(frozen=True)
class MutagenesisRequest:
    """How to score substitutions: the arguments of `findna_kit.load` and of `FrozenModel.mutagenesis`."""

    score: Score = "llr"
    strand: Strand = "forward"
    branch: BranchName | None = None
    step: int | None = None
    device: str = "auto"
    without: Collection[str] = ()


@dataclass(frozen=True)
class MutagenesisOutput:
    """The table to write, and optionally the picture of its logos."""

    table: Path
    picture: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Raise FindnaError for an unknown suffix or a missing package; OutputExists."""
        if not self.table.name.endswith(SUFFIXES):
            raise FindnaError(f"--out {self.table}: the name must end in {' or '.join(SUFFIXES)}")
        check_output(self.table, [], overwrite=self.overwrite)
        if self.picture is not None:
            logo.check_picture(self.picture)
            check_output(self.picture, [], overwrite=self.overwrite)


@dataclass(frozen=True)
class MutagenesisSummary:
    """What was written: number of sequences and of bases, and the model."""

    sequences: int
    bases: int
    model: str


def write_mutagenesis(
    run: Path, path: Path, genome: str | None, output: MutagenesisOutput, request: MutagenesisRequest, *,
    reading: Callable[[int, int], None] | None = None, progress: Callable[[int, int], None] = lambda done, count: None,
) -> MutagenesisSummary:  # fmt: skip
    """Score every substitution of every sequence of a file; write the table, one row per base, and the logos.

    progress(sequences done, all sequences) is called after each. Raises FindnaError if a file cannot be read, the run cannot
    score, a sequence is longer than the encoder's `max_length`, or there are too many bases for a picture.
    """
    model = load(run, request.branch, step=request.step, device=request.device, without=request.without)
    check_mutagenesis(model, request.score, request.strand)
    source = open_source(path, genome=genome, reading=reading)
    model.check_length(source.longest)
    if output.picture is not None:
        logo.check_size(source.count, source.longest)
    lines: list[logo.LogoLine] = []
    bases = 0
    with open_output(output.table) as sink:
        sink.write(tsv([(*source.columns, *COLUMNS)]))
        for done, (ids, sequence) in enumerate(source.rows(0), 1):
            scores = model.mutagenesis(sequence, score=request.score, strand=request.strand)
            letters = alphabet.decode(alphabet.encode(sequence))
            sink.write(tsv(_rows(ids, letters, scores)))
            if output.picture is not None:
                lines.append(logo.LogoLine(ids[0], letters, importance(scores, request.score)))
            bases += len(letters)
            progress(done, source.count)
    described = f"the {model.branch} at step {model.step}"
    if output.picture is not None:
        logo.draw(output.picture, lines, title=f"{model.recipe.name}: {described}", height=_height(request.score))
    return MutagenesisSummary(_checked(source, done), bases, described)


def _checked(source: SequenceSource, done: int) -> int:
    """Return the number of sequences. Raises FindnaError if the file changed while it was read."""
    if done != source.count:
        raise FindnaError(f"{source.description['path']} changed while it was read; start again with --overwrite")
    return done


def _rows(ids: tuple[str, ...], letters: str, scores: NDArray[np.float32]) -> list[tuple[str, ...]]:
    """Return the rows of the table of one sequence; the cells of an unknown base are empty."""
    cells = [["" if isnan(number) else f"{number:.6g}" for number in row] for row in scores.tolist()]
    return [(*ids, str(place), letters[place], *row) for place, row in enumerate(cells)]


def _height(score: Score) -> str:
    """Return the label of the axis of a logo."""
    names = {"llr": "minus the log-likelihood ratio", "cosine": "the cosine distance", "euclidean": "the Euclidean distance"}
    return f"mean of {names[score]}"

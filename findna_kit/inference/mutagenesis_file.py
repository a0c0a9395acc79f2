"""`findna-kit mutagenesis`: the scores of all substitutions of the sequences of a file, as a table and as sequence logos."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

import numpy as np

from findna_kit import alphabet
from findna_kit.errors import FindnaError
from findna_kit.inference import logo
from findna_kit.inference.embedding.tsv import tsv
from findna_kit.inference.frozen_model import load
from findna_kit.inference.mutations import check_mutagenesis, importance
from findna_kit.inference.variants.output import check_output, open_output
from findna_kit.trainer import Observer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.inference.batched_network import BranchName, Strand
    from findna_kit.inference.embedding.embed import Sequences
    from findna_kit.inference.embedding.inputs import SequenceSource
    from findna_kit.inference.frozen_model import FrozenModel
    from findna_kit.inference.mutations import Score

SUFFIXES = (".tsv", ".tsv.gz")
COLUMNS = ("position", "base", *"ACGT")
"""Columns of the table after the ids of the sequence. position: 0-based, in the sequence."""
_HEIGHTS: dict[Score, str] = {
    "llr": "minus the mean llr",
    "cosine": "mean cosine distance",
    "euclidean": "mean Euclidean distance",
}
"""The label of the axis of a logo; short, because a logo of one line is low."""


@dataclass(frozen=True)
class MutagenesisRequest:
    """Options of a mutagenesis: the arguments of `findna_kit.load` and of `FrozenModel.mutagenesis`."""

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
        """Raise FindnaError for an unknown suffix or a missing package."""
        if not self.table.name.endswith(SUFFIXES):
            raise FindnaError(f"--out {self.table}: the name must end in {' or '.join(SUFFIXES)}")
        if self.picture is not None:
            logo.check_picture(self.picture)

    def refuse_existing(self, source: Path) -> None:
        """Raise OutputExists if a file of the output exists and may not be replaced, or is `source`, the input."""
        for path in (self.table, *([self.picture] if self.picture else [])):
            check_output(path, [source], overwrite=self.overwrite)


@dataclass(frozen=True)
class MutagenesisSummary:
    """Number of sequences and of substitutions with a score, and the model that scored them."""

    sequences: int
    substitutions: int
    model: str


def write_mutagenesis(
    run: Path, sequences: Sequences, output: MutagenesisOutput, request: MutagenesisRequest, *,
    reading: Callable[[int, int], None] | None = None, progress: Callable[[int, int], None] = lambda done, count: None,
) -> MutagenesisSummary:  # fmt: skip
    """Score every substitution of every sequence of a file; write the table, one row per base, and the logos.

    progress(sequences done, all sequences) is called after each. Raises FindnaError if a file cannot be read, the run cannot
    score, a sequence is longer than the encoder's `max_length`, or there are too many bases for a picture; OutputExists.
    """
    # What cannot be written is refused before anything is scored, which may take hours.
    output.refuse_existing(sequences.path)
    model = load(run, request.branch, step=request.step, device=request.device, without=request.without)
    check_mutagenesis(model, request.score, request.strand)
    source = sequences.open(Observer(reading=reading))
    check_columns(source.columns)
    model.check_length(source.longest)
    # Before the first sequence is scored: the letters of a longer picture could not be read.
    if output.picture is not None:
        logo.check_size(source.count, source.longest)
    scored, lines = _write_table(model, source, output, request, progress)
    described = f"the {model.branch} at step {model.step}"
    if output.picture is not None:
        logo.draw(output.picture, lines, title=f"{model.recipe.name}: {described}", height=_HEIGHTS[request.score])
    return MutagenesisSummary(source.count, scored, described)


def check_columns(columns: tuple[str, ...]) -> None:
    """Raise FindnaError if a column of the ids has the name of a column of the scores."""
    taken = next((name for name in columns if name in COLUMNS), None)
    if taken is not None:
        raise FindnaError(f"the input has a column {taken!r}, which is the name of a column of the scores: rename it")


def _write_table(
    model: FrozenModel, source: SequenceSource, output: MutagenesisOutput, request: MutagenesisRequest,
    progress: Callable[[int, int], None],
) -> tuple[int, list[logo.LogoLine]]:  # fmt: skip
    """Write the table; return the number of substitutions that have a score, and for a picture the lines of the logos."""
    lines: list[logo.LogoLine] = []
    scored = done = 0
    with open_output(output.table) as sink:
        sink.write(tsv([(*source.columns, *COLUMNS)]))
        for done, (ids, sequence) in enumerate(source.rows(0), 1):
            scores = model.mutagenesis(sequence, score=request.score, strand=request.strand)
            # Upper case and N, as the model reads them: lower case, U and IUPAC codes are not drawn.
            letters = alphabet.decode(alphabet.encode(sequence))
            sink.write(tsv(_rows(ids, letters, scores)))
            if output.picture is not None:
                # The first id names a sequence: a FASTA's record, a region, or the first other column of a table.
                lines.append(logo.LogoLine(ids[0], letters, importance(scores, request.score)))
            scored += 3 * int(np.isfinite(scores[:, 0]).sum())
            progress(done, source.count)
        # Raised before the table is renamed: a file that shrank since it was opened must not give a complete output.
        if done != source.count:
            raise FindnaError(f"{source.description['path']} changed while it was read; start again")
    return scored, lines


def _rows(ids: tuple[str, ...], letters: str, scores: NDArray[np.float32]) -> list[tuple[str, ...]]:
    """Return the rows of the table of one sequence; the cells of an unknown base are empty."""
    cells = [["" if isnan(number) else f"{number:.6g}" for number in row] for row in scores.tolist()]
    return [(*ids, str(place), letters[place], *row) for place, row in enumerate(cells)]

"""In-silico mutagenesis: the score of every single-base substitution of a sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from findna_kit import alphabet
from findna_kit.errors import FindnaError
from findna_kit.inference.batched_network import check_strand, reverse_complement
from findna_kit.inference.distances import embedding_distances
from findna_kit.inference.masked_bases import masked_logits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from findna_kit.inference.batched_network import BatchedNetwork, Strand

Score = Literal["llr", "cosine", "euclidean"]
_DISTANCES = ("cosine", "euclidean")
_MUTANT_BASES = 1 << 24
"""Largest number of bases of the mutated sequences that are in memory at once."""


def check_mutagenesis(model: BatchedNetwork, score: Score, strand: Strand) -> None:
    """Raise FindnaError for an unknown score or strand, and for `llr` of a run that does not predict bases."""
    check_strand(strand)
    if score not in get_args(Score):
        raise FindnaError(f"score {score!r}: must be one of {', '.join(get_args(Score))}")
    if score == "llr" and not model.predicts_bases:
        raise FindnaError(
            "score 'llr': this run has no loss that predicts nucleotides, so it has no probabilities of bases; use score "
            "'cosine' or 'euclidean'"
        )


def mutagenesis(
    model: BatchedNetwork, tokens: NDArray[np.uint8], score: Score, strand: Strand
) -> NDArray[np.float32]:  # fmt: skip
    """Return the scores [L, 4] of the substitutions by A C G T; 0 at the base itself, NaN in the row of an unknown base.

    llr: ln p(base) - ln p(base of the sequence) at the position, masked alone; below 0 where the run finds the substitution
    less likely. cosine, euclidean: distances between the mean-pooled embeddings before and after the substitution. These are
    the scores that `findna-kit variants` gives a variant in a window that is the whole sequence; strand `both` averages them.

    Raises FindnaError for what `check_mutagenesis` refuses, and for a sequence that is empty or longer than `max_length`.
    """
    check_mutagenesis(model, score, strand)
    model.check_length(len(tokens))
    known = np.flatnonzero(tokens != alphabet.N)
    scores = np.full((len(tokens), 4), np.nan)
    if score == "llr":
        logs = masked_logits(model, tokens, None, strand).astype(np.float64)[known]
        scores[known] = logs - logs[np.arange(len(known)), tokens[known]][:, None]
    elif len(known):
        column = _DISTANCES.index(score)
        strands = [_distances(model, tokens, known, column)]
        if strand == "both":
            # Position i of a sequence is position L - 1 - i of the other strand.
            mirrored = _distances(model, reverse_complement(tokens), len(tokens) - 1 - known, column)
            # The columns A C G T in reverse order are those of the complements, T G C A.
            strands.append(mirrored[:, ::-1])
        scores[known] = np.mean(strands, axis=0)
    return np.asarray(scores.astype(np.float32))


def _distances(
    model: BatchedNetwork, tokens: NDArray[np.uint8], positions: NDArray[np.int64], column: int
) -> NDArray[np.float64]:
    """Return a distance [n, 4] between the embeddings of a sequence and of its substitutions at `positions` [n]."""
    # float64: one substitution changes an embedding little, and the difference would have few digits in float32.
    reference = model.embed_tokens([tokens], "mean", None).astype(np.float64)
    # Three substitutions per position: the base itself needs no forward pass.
    row, base = np.nonzero(np.arange(4) != tokens[positions][:, None])
    distances = np.zeros((len(positions), 4))
    size = max(1, _MUTANT_BASES // len(tokens))
    for start in range(0, len(row), size):
        part = slice(start, start + size)
        mutants = np.repeat(tokens[None], len(row[part]), axis=0)
        mutants[np.arange(len(mutants)), positions[row[part]]] = base[part]
        embedded = model.embed_tokens(list(mutants), "mean", None).astype(np.float64)
        distances[row[part], base[part]] = embedding_distances(np.broadcast_to(reference, embedded.shape), embedded)[:, column]
    return distances


def importance(scores: NDArray[np.float32], score: Score) -> NDArray[np.float32]:
    """Return how much each base matters, [L]: the mean over its three substitutions; above 0 where they change much.

    For `llr` the sign is changed: a base that the run expects has substitutions that are less likely.
    """
    mean = scores.sum(1) / 3
    return np.asarray(-mean if score == "llr" else mean)

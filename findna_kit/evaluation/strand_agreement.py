"""Strand disagreement: how much an encoder's embeddings of a sequence and of its reverse complement differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from findna_kit import alphabet, rng
from findna_kit.evaluation.bootstrap import LEVEL, RESAMPLES
from findna_kit.records.evaluation_json import StrandDisagreement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

MAX_SAMPLES = 512
"""Test samples that are compared, drawn by the seed; all of a smaller task."""


def strand_disagreement(
    embed: Callable[[Sequence[str]], NDArray[Any]], sequences: Sequence[str], *, seed: int
) -> StrandDisagreement:
    """Return the mean distance between both strands' embeddings, relative to the mean distance between two sequences.

    0: the strands agree; 1: they are as far apart as two sequences; the value is None if all embeddings are the same. The
    interval is a percentile bootstrap over the sequences. No labels are used, and nothing is chosen by it.
    """
    random = np.random.default_rng(rng.key(seed, "strand disagreement") % 2**64)
    rows = np.sort(random.permutation(len(sequences))[:MAX_SAMPLES])
    forward = [sequences[row] for row in rows]
    reverse = [alphabet.decode(alphabet.COMPLEMENT[alphabet.encode(sequence)[::-1]]) for sequence in forward]
    forward_embeddings, reverse_embeddings = (embed(strand).astype(np.float64) for strand in (forward, reverse))
    between_strands = np.linalg.norm(forward_embeddings - reverse_embeddings, axis=1)
    # Each sequence is paired with its predecessor in a random ring, so that every sequence counts twice.
    ring = random.permutation(len(rows))
    others = np.roll(ring, 1)[np.argsort(ring)]
    between_sequences = np.linalg.norm(forward_embeddings - forward_embeddings[others], axis=1)
    if not between_sequences.any():
        return StrandDisagreement(value=None, low=None, high=None, rows=len(rows))
    drawn = random.integers(0, len(rows), (RESAMPLES, len(rows)))
    scale = between_sequences[drawn].mean(1)
    ratios = between_strands[drawn].mean(1) / np.where(scale > 0, scale, np.inf)
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = float(between_strands.mean() / between_sequences.mean())
    return StrandDisagreement(value=value, low=float(low), high=float(high), rows=len(rows))

"""How far an encoder tells a sequence from its reverse complement, which is the same molecule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from findna_kit import alphabet, rng
from findna_kit.evaluation.scores import LEVEL, RESAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

ROWS = 512
"""Test rows that are looked at, drawn by the seed; of a smaller task all."""


def strand_disagreement(
    embed: Callable[[Sequence[str]], NDArray[Any]], sequences: Sequence[str], *, seed: int
) -> dict[str, Any]:
    """Mean distance between the embeddings of both strands, over the mean distance between two sequences, each with another.

    0: the strands agree; 1: they are as far apart as two sequences; `value` is None where those do not differ at all. With the
    ends of a percentile bootstrap interval over the rows, and their number. It asks for no label, and chooses nothing.
    """
    random = np.random.default_rng(rng.key(seed, "strand disagreement") % 2**64)
    rows = np.sort(random.permutation(len(sequences))[:ROWS])
    forward = [sequences[row] for row in rows]
    reverse = [alphabet.decode(alphabet.COMPLEMENT[alphabet.encode(sequence)[::-1]]) for sequence in forward]
    one, other = (embed(chosen).astype(np.float64) for chosen in (forward, reverse))
    strands = np.linalg.norm(one - other, axis=1)
    ring = random.permutation(len(rows))
    between = np.linalg.norm(one - one[np.roll(ring, 1)[np.argsort(ring)]], axis=1)  # each with the one before it
    if not between.any():
        return {"value": None, "low": None, "high": None, "rows": len(rows)}
    drawn = random.integers(0, len(rows), (RESAMPLES, len(rows)))
    scale = between[drawn].mean(1)
    shares = strands[drawn].mean(1) / np.where(scale > 0, scale, np.inf)
    low, high = np.quantile(shares, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"value": float(strands.mean() / between.mean()), "low": float(low), "high": float(high), "rows": len(rows)}

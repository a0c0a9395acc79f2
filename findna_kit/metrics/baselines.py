"""What counting alone predicts at masked positions: Markov models on the clean left context, and a two-sided k-mer model.

They are fitted on the training part of the genome, on both strands, and read the *clean* bases around a masked position where
the network reads corrupted ones: a comparison that favours them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from findna_kit import dna

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

MARKOV_ORDERS = (0, 1, 2, 3, 4, 5)
_PER_CONTEXT = 16


def masked_baselines(
    chunks: Callable[[], Iterable[NDArray[np.uint8]]], windows: NDArray[np.int64], masked: NDArray[np.bool_]
) -> dict[str, dict[str, float]]:
    """Accuracy and bits per base at the `masked` positions [n, L] of `windows` [n, L], by model name.

    `chunks()` yields stretches of the training part. Add-one counts; where a context holds N or leaves the window, the
    model with the next smaller context answers.
    """
    bases = sum(int((chunk < dna.N).sum()) for chunk in chunks())
    models: dict[str, list[tuple[int, int]]] = {
        f"markov_{order}": [(k, 0) for k in range(order + 1)] for order in MARKOV_ORDERS
    }
    side = two_sided_width(bases)
    models[f"two_sided_{side}"] = [(k, k) for k in range(side + 1)]
    needed = sorted({context for contexts in models.values() for context in contexts})
    tables = {context: _fit(chunks(), *context) for context in needed}
    return {
        name: _score([(context, tables[context]) for context in contexts], windows, masked) for name, contexts in models.items()
    }


def two_sided_width(bases: int) -> int:
    """The largest k for which each of the 4^(2k) contexts is met 16 times on average; at most 6."""
    return max(1, min(6, int(math.log(max(bases / _PER_CONTEXT, 1), 16))))


def _fit(chunks: Iterable[NDArray[np.uint8]], left: int, right: int) -> NDArray[np.float64]:
    """log2 p(base | context), [4^(left + right), 4], from both strands."""
    counts = np.ones((4 ** (left + right), 4))
    size = counts.size
    for chunk in chunks:
        for strand in (chunk, np.where(chunk < dna.N, 3 - chunk, chunk)[::-1]):
            context, known = _contexts(strand[None], left, right)
            known &= strand[None] < dna.N
            counts += np.bincount(context[known] * 4 + strand[None][known], minlength=size).reshape(counts.shape)
    return np.asarray(np.log2(counts / counts.sum(1, keepdims=True)))


def _contexts(tokens: NDArray[np.integer], left: int, right: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The number of each position's context, and whether it is whole and without N; both [n, L]."""
    length = tokens.shape[1]
    number = np.zeros(tokens.shape, dtype=np.int64)
    known = np.ones(tokens.shape, dtype=bool)
    for offset in (*range(-left, 0), *range(1, right + 1)):
        inside = slice(max(0, -offset), min(length, length - offset))
        moved = slice(inside.start + offset, inside.stop + offset)
        neighbour = np.full(tokens.shape, dna.N, dtype=np.int64)
        neighbour[:, inside] = tokens[:, moved]
        known &= neighbour < dna.N
        number = number * 4 + np.minimum(neighbour, 3)
    return number, known


def _score(
    tables: list[tuple[tuple[int, int], NDArray[np.float64]]], windows: NDArray[np.int64], masked: NDArray[np.bool_]
) -> dict[str, float]:
    log_p = np.zeros((*windows.shape, 4))
    for (left, right), table in tables:  # from the smallest context up: a larger one overwrites where it is whole
        context, known = _contexts(windows, left, right)
        log_p[known] = table[context[known]]
    at, target = log_p[masked], windows[masked]
    return {
        "accuracy": float((at.argmax(1) == target).mean()),
        "bits_per_base": float(-at[np.arange(len(target)), target].mean()),
    }

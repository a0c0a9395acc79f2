"""What counting alone predicts at masked positions: Markov models on the clean left context, and a two-sided k-mer model.

They are fitted on a part of the training genome, on both strands, and read the *clean* bases around a masked position where
the network reads corrupted ones: a comparison that favours them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from findna_kit import alphabet

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARKOV_ORDERS = (0, 1, 2, 3, 4, 5)
_PER_CONTEXT = 16
_WIDEST = 5
"""A table of 4^11 counts; the next would have 4^13 and want more bases than anybody fits on."""
_CHUNK = 2**22


def masked_baselines(
    fitted_on: NDArray[np.uint8], windows: NDArray[np.int64], masked: NDArray[np.bool_]
) -> dict[str, dict[str, float]]:
    """Accuracy and bits per base at the `masked` positions [n, L] of `windows` [n, L], by model name.

    `fitted_on` [bases]: stretches of the training part, joined by N, over which no context reaches; its known bases are
    counted in the result. Add-one counts; where a context holds N or leaves the window, the model with the next smaller
    context answers.
    """
    bases = int((fitted_on < alphabet.N).sum())
    side = two_sided_width(bases)
    counts = _word_counts(fitted_on, max(2 * side, *MARKOV_ORDERS) + 1)
    models = {f"markov_{order}": [(k, 0) for k in range(order + 1)] for order in MARKOV_ORDERS}
    models[f"two_sided_{side}"] = [(k, k) for k in range(side + 1)]
    tables = {context: _log_probabilities(counts, *context) for contexts in models.values() for context in contexts}
    return {
        name: {**_score([(context, tables[context]) for context in contexts], windows, masked), "fitted_on_bases": bases}
        for name, contexts in models.items()
    }


def two_sided_width(bases: int) -> int:
    """The largest k for which each of the 4^(2k) contexts is met 16 times on average; at most 5."""
    return max(1, min(_WIDEST, int(math.log(max(bases / _PER_CONTEXT, 1), 16))))


def _word_counts(tokens: NDArray[np.uint8], longest: int) -> dict[int, NDArray[np.int64]]:
    """How often each word without N occurs on both strands [4^length], for each length up to `longest`.

    The bases are read once: a word that is the first part of no longer one ends where a run of known bases ends, so the
    counts of a length are those of the next, summed over the last base, and one word more for each run long enough.
    """
    known = np.concatenate(([False], tokens < alphabet.N, [False]))
    first, end = np.flatnonzero(known[1:] != known[:-1]).reshape(-1, 2).T
    forward = {longest: np.zeros(4**longest, dtype=np.int64)}
    for at in range(0, len(tokens), _CHUNK):
        forward[longest] += _whole_words(tokens[at : at + _CHUNK + longest - 1], longest)
    for length in range(longest - 1, 0, -1):
        last = end[end - first >= length] - length
        code = np.zeros(len(last), dtype=np.int64)
        for place in range(length):
            code = code * 4 + tokens[last + place]
        forward[length] = forward[length + 1].reshape(-1, 4).sum(1) + np.bincount(code, minlength=4**length)
    return {length: table + _turned(table, length) for length, table in forward.items()}


def _whole_words(tokens: NDArray[np.uint8], length: int) -> NDArray[np.int64]:
    """Counts [4^length] of the words of one stretch."""
    starts = max(len(tokens) - length + 1, 0)
    code, whole = np.zeros(starts, dtype=np.int32), np.ones(starts, dtype=bool)
    for place in range(length):
        base = tokens[place : place + starts]
        code *= 4
        code += base
        whole &= base < alphabet.N
    return np.bincount(code[whole], minlength=4**length)


def _turned(counts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """The counts of the other strand: a word occurs there as often as its reverse complement here."""
    return counts[::-1].reshape((4,) * length).transpose().reshape(-1)  # 3 - t at every place is the whole table backwards


def _log_probabilities(counts: dict[int, NDArray[np.int64]], left: int, right: int) -> NDArray[np.float64]:
    """log2 p(base | context), [4^(left + right), 4]."""
    words = counts[left + 1 + right].reshape(4**left, 4, 4**right).transpose(0, 2, 1).reshape(-1, 4) + 1.0
    return np.asarray(np.log2(words / words.sum(1, keepdims=True)))


def _contexts(tokens: NDArray[np.integer], left: int, right: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The number of each position's context, and whether it is whole and without N; both [n, L]."""
    length = tokens.shape[1]
    number = np.zeros(tokens.shape, dtype=np.int64)
    known = np.ones(tokens.shape, dtype=bool)
    for offset in (*range(-left, 0), *range(1, right + 1)):
        inside = slice(max(0, -offset), min(length, length - offset))
        moved = slice(inside.start + offset, inside.stop + offset)
        neighbour = np.full(tokens.shape, alphabet.N, dtype=np.int64)
        neighbour[:, inside] = tokens[:, moved]
        known &= neighbour < alphabet.N
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

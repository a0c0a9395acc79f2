"""Baselines for masked-base prediction: Markov models of the left context, and two models of both sides.

They count words in a sample of the training genome, on both strands. They see the *clean* bases around a masked position, while
the network sees corrupted ones, so the comparison favours them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NotRequired, TypedDict

import numpy as np

from findna_kit import alphabet
from findna_kit.metrics.backoff import TABLE_WIDTH, backoff_probabilities

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARKOV_ORDERS = (0, 1, 2, 3, 4, 5)
BACKOFF = "counting_backoff"
"""The name of the model with Dirichlet back-off."""
_PER_CONTEXT = 16
"""Occurrences of each context, on average, that the two-sided model needs."""
_MAX_WIDTH = 5
"""A table of 4^11 counts. The next one has 4^13 entries and needs more bases than are ever counted."""
_CHUNK = 2**22
"""Bases read at a time, which bounds memory."""


class BaselineValues(TypedDict):
    """The scores of one baseline, ready for JSON. strengths: of the back-off, by width."""

    accuracy: float
    bits_per_base: float
    fitted_on_bases: int
    strengths: NotRequired[list[float]]


def masked_baselines(
    fitted_on: NDArray[np.uint8], windows: NDArray[np.int64], masked: NDArray[np.bool_]
) -> dict[str, BaselineValues]:
    """Return accuracy and bits per base at the `masked` positions [n, L] of `windows` [n, L], by model name.

    fitted_on [bases]: regions of the training split, joined by N so that no context spans two of them. The result states the
    number of its known bases. Except with back-off, counts have add-one smoothing, and where a context contains N or leaves the
    window, the model with the next smaller context predicts.
    """
    bases = int((fitted_on < alphabet.N).sum())
    side = two_sided_width(bases)
    counts = _word_counts(fitted_on, 2 * TABLE_WIDTH + 1)
    models = {f"markov_{order}": [(k, 0) for k in range(order + 1)] for order in MARKOV_ORDERS}
    models[f"two_sided_{side}"] = [(k, k) for k in range(side + 1)]
    tables = {context: _log_probabilities(counts, *context) for contexts in models.values() for context in contexts}
    target = windows[masked]
    scores: dict[str, BaselineValues] = {}
    for name, contexts in models.items():
        predicted = _predicted([(context, tables[context]) for context in contexts], windows)[masked]
        scores[name] = _score(predicted, target, bases)
    probabilities, strengths = backoff_probabilities(fitted_on, counts, windows, masked)
    scores[BACKOFF] = {**_score(np.log2(probabilities), target, bases), "strengths": strengths}
    return scores


def two_sided_width(bases: int) -> int:
    """Return the largest k, at most 5, for which each of the 4^(2k) contexts occurs 16 times on average in that many bases."""
    # The logarithm has base 16, because 4^(2k) is 16^k.
    return max(1, min(_MAX_WIDTH, int(math.log(max(bases / _PER_CONTEXT, 1), 16))))


def _word_counts(tokens: NDArray[np.uint8], longest: int) -> dict[int, NDArray[np.int64]]:
    """Return the count of each word without N on both strands [4^length], for each length up to `longest`.

    The bases are read once, for the longest words. Every shorter word is the prefix of a longer one, unless it is the last of a
    run of known bases. So the counts of a length are those of the next length, summed over the last base, plus one word for
    each run that is long enough.
    """
    # False at both ends, so that a run of known bases at the very start or end has both of its edges.
    known = np.concatenate(([False], tokens < alphabet.N, [False]))
    first, end = np.flatnonzero(known[1:] != known[:-1]).reshape(-1, 2).T
    forward = {longest: np.zeros(4**longest, dtype=np.int64)}
    for start in range(0, len(tokens), _CHUNK):
        # Chunks overlap by one base less than a word has: each word is counted once, in the chunk in which it begins.
        forward[longest] += _count_words(tokens[start : start + _CHUNK + longest - 1], longest)
    for length in range(longest - 1, 0, -1):
        # The last word of a run is the one that no longer word begins with.
        last = end[end - first >= length] - length
        code = np.zeros(len(last), dtype=np.int64)
        for offset in range(length):
            code = code * 4 + tokens[last + offset]
        forward[length] = forward[length + 1].reshape(-1, 4).sum(1) + np.bincount(code, minlength=4**length)
    return {length: table + _reverse_complement(table, length) for length, table in forward.items()}


def _count_words(tokens: NDArray[np.uint8], length: int) -> NDArray[np.int64]:
    """Return the counts [4^length] of the words without N in one chunk."""
    starts = max(len(tokens) - length + 1, 0)
    # 32 bits hold every code, since words have at most 11 bases. The code of a word with N is not used.
    code, whole = np.zeros(starts, dtype=np.int32), np.ones(starts, dtype=bool)
    for offset in range(length):
        base = tokens[offset : offset + starts]
        code *= 4
        code += base
        whole &= base < alphabet.N
    return np.bincount(code[whole], minlength=4**length)


def _reverse_complement(counts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Return the counts of the other strand, where a word occurs as often as its reverse complement on this one."""
    # Reversing the table complements every base (t to 3 - t); the transpose reverses the order of the bases.
    return counts[::-1].reshape((4,) * length).transpose().reshape(-1)


def _log_probabilities(counts: dict[int, NDArray[np.int64]], left: int, right: int) -> NDArray[np.float64]:
    """Return log2 p(base | context), [4^(left + right), 4], for `left` and `right` bases of context."""
    # Words are indexed by left context, base, right context. The base becomes the last axis, so that a row is one context.
    # Adding one keeps the logarithm of words that never occur finite.
    words = counts[left + 1 + right].reshape(4**left, 4, 4**right).transpose(0, 2, 1).reshape(-1, 4) + 1.0
    return np.asarray(np.log2(words / words.sum(1, keepdims=True)))


def _contexts(tokens: NDArray[np.integer], left: int, right: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the index of each position's context, and whether it lies inside the window and has no N; both [n, L]."""
    length = tokens.shape[1]
    index = np.zeros(tokens.shape, dtype=np.int64)
    known = np.ones(tokens.shape, dtype=bool)
    # From left to right without the base itself, as the rows of the tables are ordered.
    for offset in (*range(-left, 0), *range(1, right + 1)):
        inside = slice(max(0, -offset), min(length, length - offset))
        shifted = slice(inside.start + offset, inside.stop + offset)
        neighbour = np.full(tokens.shape, alphabet.N, dtype=np.int64)
        neighbour[:, inside] = tokens[:, shifted]
        known &= neighbour < alphabet.N
        # N (4) would lead out of the table. Its value does not matter, since such a context is not `known`.
        index = index * 4 + np.minimum(neighbour, 3)
    return index, known


def _predicted(tables: list[tuple[tuple[int, int], NDArray[np.float64]]], windows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return log2 p(base) [n, L, 4] of one model, given as its (context, table) pairs from the smallest context up."""
    # None of the zeros stays: the smallest context has no neighbours, so it is known everywhere.
    log_p = np.zeros((*windows.shape, 4))
    for (left, right), table in tables:  # a larger context overwrites a smaller one where it is known
        context, known = _contexts(windows, left, right)
        log_p[known] = table[context[known]]
    return log_p


def _score(log_p: NDArray[np.float64], target: NDArray[np.int64], bases: int) -> BaselineValues:
    """Return the scores of log2 p(base) [m, 4] at positions whose bases are `target` [m]."""
    return {
        "accuracy": float((log_p.argmax(1) == target).mean()),
        "bits_per_base": float(-log_p[np.arange(len(target)), target].mean()),
        "fitted_on_bases": bases,
    }

"""A two-sided counting model of masked bases that interpolates over widths of context (Dirichlet back-off).

With w bases of context on either side, p_w(b) = (count(context, b) + s_w p_{w-1}(b)) / (count(context) + s_w), where p_{-1} is
uniform (MacKay and Peto 1995). Rare contexts lean on the next narrower one, so wide contexts can be used where they are known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from findna_kit import alphabet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]

WIDTH = 6
"""Bases of context on either side."""
TABLE_WIDTH = WIDTH - 1
"""Widths up to this one are counted in full tables, of 4^11 words. A table of 4^13 would take half a gigabyte."""
STRENGTHS = tuple(float(2**power) for power in range(13))
"""The strengths that are tried at each width."""
_START = 32.0
_ROUNDS = 10
_POSITIONS = 2**16
"""Most training positions on which the strengths are chosen: enough to compare bits to about a thousandth."""
_SEED = 20_261_201
"""Fixed, and not the run's seed: the baseline of a genome stays the same."""
_CHUNK = 2**22
"""Bases read at a time, which bounds memory."""


def backoff_probabilities(
    fitted_on: NDArray[np.uint8], words: Mapping[int, Integers], windows: Integers, masked: NDArray[np.bool_]
) -> tuple[Floats, list[float]]:
    """Return p(base) at the `masked` positions [m, 4] of `windows` [n, L], and the strength of each width.

    words: counts on both strands of the words of `fitted_on` by length, up to 2 TABLE_WIDTH + 1. The strengths have the fewest
    bits at positions drawn from `fitted_on`, each of which is left out of the counts that predict it (leave-one-out).
    """
    asked = _neighbourhoods(windows, *np.nonzero(masked))
    drawn = _training_positions(fitted_on)
    training = _neighbourhoods(fitted_on[None], np.zeros_like(drawn), drawn)
    counts = _counts(fitted_on, words, np.concatenate([asked, training]))
    own = training[:, WIDTH].astype(np.int64)
    strengths = choose_strengths([table[len(asked) :] for table in counts], own)
    return _interpolated([table[: len(asked)] for table in counts], strengths), strengths


def choose_strengths(counts: Sequence[Integers], own: Integers) -> list[float]:
    """Return the strengths with the fewest bits at training positions, by coordinate descent.

    counts: at each width, of the four bases in the context of each position [m, 4]. own: the base of the position itself [m],
    whose occurrence is subtracted from the counts.
    """
    strengths = [_START] * len(counts)
    if not len(own):
        return strengths
    rows = np.arange(len(own))
    # A context that is not known has no counts, not even the position's own.
    pairs = [(table[rows, own] - (table.sum(1) > 0), np.maximum(table.sum(1) - 1, 0)) for table in counts]
    for _ in range(_ROUNDS):
        before, p = list(strengths), np.full(len(own), 0.25)
        for width, (count, total) in enumerate(pairs):
            bits = []
            for strength in STRENGTHS:
                q = (count + strength * p) / (total + strength)
                for (wider, wider_total), s in zip(pairs[width + 1 :], strengths[width + 1 :], strict=True):
                    q = (wider + s * q) / (wider_total + s)
                bits.append(-np.log2(q).mean())
            strengths[width] = STRENGTHS[int(np.argmin(bits))]
            p = (count + strengths[width] * p) / (total + strengths[width])
        if strengths == before:
            break
    return strengths


def _training_positions(tokens: NDArray[np.uint8]) -> Integers:
    """Return the positions of known bases on which the strengths are chosen, ascending."""
    if not len(tokens):
        return np.empty(0, dtype=np.int64)
    # Drawn with replacement from all positions: a permutation of the known ones would take gigabytes.
    drawn = np.unique(np.random.default_rng(_SEED).integers(len(tokens), size=_POSITIONS))
    return drawn[tokens[drawn] < alphabet.N]


def _interpolated(counts: Sequence[Integers], strengths: Sequence[float]) -> Floats:
    """Return p(base) [m, 4] of the widest context."""
    p = np.full((len(counts[0]), 4), 0.25)
    for table, strength in zip(counts, strengths, strict=True):
        p = (table + strength * p) / (table.sum(1, keepdims=True) + strength)
    return p


def _neighbourhoods(windows: NDArray[np.integer], rows: Integers, columns: Integers) -> NDArray[np.uint8]:
    """Return the bases around positions [m, 2 WIDTH + 1], the position itself in the middle; N beyond the window."""
    around = np.full((len(rows), 2 * WIDTH + 1), alphabet.N, dtype=np.uint8)
    for place in range(2 * WIDTH + 1):
        column = columns + place - WIDTH
        inside = (column >= 0) & (column < windows.shape[1])
        around[inside, place] = windows[rows[inside], column[inside]]
    return around


def _counts(fitted_on: NDArray[np.uint8], words: Mapping[int, Integers], around: NDArray[np.uint8]) -> list[Integers]:
    """Return the counts of the four bases in each position's context [m, 4], for every width from 0; 0 if it is not known."""
    counts = []
    for width in range(WIDTH + 1):
        left, right = around[:, WIDTH - width : WIDTH], around[:, WIDTH + 1 : WIDTH + 1 + width]
        known = ((left < alphabet.N).all(1)) & ((right < alphabet.N).all(1))
        found = np.zeros((len(around), 4), dtype=np.int64)
        before, after = _codes(left[known]), _codes(right[known])
        if width <= TABLE_WIDTH:
            bases = np.arange(4)
            found[known] = words[2 * width + 1][((before[:, None] * 4 + bases) << 2 * width) + after[:, None]]
        else:
            found[known] = _looked_up(fitted_on, (before << 2 * width) + after, width)
        counts.append(found)
    return counts


def _codes(words: NDArray[np.uint8]) -> Integers:
    """Return the number of each word [m, k], its first base most significant."""
    code = np.zeros(len(words), dtype=np.int64)
    for column in words.T:
        code = code * 4 + column
    return code


def _looked_up(tokens: NDArray[np.uint8], contexts: Integers, width: int) -> Integers:
    """Return the counts of the four bases in the given contexts [m, 4], on both strands.

    Only these contexts are counted: a table of all would have 4^(2 width + 1) entries.
    """
    # An occurrence on the other strand is one of the reverse complement, with the complement of the base, on this strand.
    reverse = _reverse_complements(contexts, 2 * width)
    wanted = np.unique(np.concatenate([contexts, reverse]))
    place = np.full(4 ** (2 * width), -1, dtype=np.int32)
    place[wanted] = np.arange(len(wanted))
    counts = np.zeros((len(wanted), 4), dtype=np.int64)
    length = 2 * width + 1
    for start in range(0, len(tokens), _CHUNK):
        # Chunks overlap by one base less than a word has: each word is counted once, in the chunk in which it begins.
        piece = tokens[start : start + _CHUNK + length - 1]
        found, base = _places(piece, width, place)
        counts += np.bincount(found * 4 + base, minlength=counts.size).reshape(counts.shape)
    return counts[place[contexts]] + counts[place[reverse]][:, ::-1]


def _places(tokens: NDArray[np.uint8], width: int, place: NDArray[np.int32]) -> tuple[Integers, NDArray[np.uint8]]:
    """Return, for the words without N whose context is wanted, the context's place and the base in the middle."""
    starts = max(len(tokens) - 2 * width, 0)
    code, whole = np.zeros(starts, dtype=np.int32), np.ones(starts, dtype=bool)
    for offset in range(2 * width + 1):
        base = tokens[offset : offset + starts]
        whole &= base < alphabet.N
        if offset != width:
            code *= 4
            # The two low bits of N are those of A. The code of a word with N is not used.
            code += base & 3
    found = np.where(whole, place[code], -1)
    inside = found >= 0
    return found[inside].astype(np.int64), tokens[width : width + starts][inside]


def _reverse_complements(codes: Integers, length: int) -> Integers:
    """Return the numbers of the words' reverse complements."""
    remaining, reverse = codes.copy(), np.zeros_like(codes)
    for _ in range(length):
        reverse = reverse * 4 + (3 - remaining % 4)
        remaining //= 4
    return reverse

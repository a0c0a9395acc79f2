"""Sequences compared by their k-mers, a k-mer and its reverse complement being one: which rows are near, which lie in a genome.

A sample of the k-mers stands for all: those whose hash is small (FracMinHash; Irber et al. 2022), the same in every sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from findna_kit import alphabet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    Codes = NDArray[np.uint64]
    Integers = NDArray[np.int64]

NEAR_K = 12
"""At 95 % identity 54 % of the 12-mers are whole on average; more than 93 in 100 pairs of 70 bases keep `NEAR`, all of 101."""
NEAR = 0.3
LEAST_SHARED = 8
"""Sampled k-mers: fewer in common say nothing, and a sequence with fewer is not compared."""
GENOME_K = 32
"""The longest that fits an integer; by chance none occurs twice in a genome."""
_PER_SEQUENCE = 128
_CHUNK = 1 << 22
_POSTINGS = 32
"""Of a k-mer that very many sequences have, a repeat, only the first few are led to."""
_CANDIDATES = 4
_BITS = 24


@dataclass(frozen=True)
class Sketch:
    """The distinct sampled k-mers of n sequences: row and code [m], sorted by both; `count` [n]: how many each has."""

    row: Integers
    code: Codes
    count: Integers


def scale_for(sequences: Sequence[str], k: int) -> int:
    """One k-mer in how many is sampled, so that the middle sequence keeps about 128."""
    middle = int(np.median([len(sequence) for sequence in sequences])) - k + 1
    return max(1, middle // _PER_SEQUENCE)


def sketch(sequences: Sequence[str], k: int, scale: int) -> Sketch:
    """The sampled k-mers of each sequence. Those with N are left out."""
    rows, codes = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.uint64)]
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    piece = np.cumsum(lengths) // _CHUNK
    for start, end in pairwise([0, *(np.flatnonzero(np.diff(piece)) + 1).tolist(), len(sequences)]):
        owner = np.repeat(np.arange(start, end), lengths[start:end])
        code, kept = _sampled(alphabet.encode("".join(sequences[start:end])), k, scale)
        row = owner[: len(code)]
        kept &= row == owner[len(owner) - len(code) :]  # the last base is in the same sequence as the first
        order = np.lexsort((code[kept], row[kept]))
        row, code = row[kept][order], code[kept][order]
        first = np.ones(len(row), dtype=bool)
        first[1:] = (np.diff(row) != 0) | (np.diff(code) != 0)
        rows.append(row[first])
        codes.append(code[first])
    row = np.concatenate(rows)
    return Sketch(row, np.concatenate(codes), np.bincount(row, minlength=len(sequences)))


def nearest_rows(query: Sketch, reference: Sketch) -> tuple[Integers, NDArray[np.float64]]:
    """For each query the row of the reference that shares most [n], and the share of the smaller of both sketches [n].

    -1 and 0 where no row shares LEAST_SHARED k-mers.
    """
    best, share = np.full(len(query.count), -1, dtype=np.int64), np.zeros(len(query.count))
    postings = _Postings(reference)
    for low, high in _spans(query):
        row, other = postings.candidates(query.row[low:high], query.code[low:high], len(reference.count))
        common = postings.common(query, row, other)
        contained = np.where(common >= LEAST_SHARED, common / np.minimum(query.count[row], reference.count[other]), 0)
        order = np.lexsort((-other, contained, row))  # of a row's equals the first one of the reference comes last, and stays
        order = order[contained[order] > 0]
        best[row[order]], share[row[order]] = other[order], contained[order]
    return best, share


class _Postings:
    """The reference's sketch by k-mer, and by row for questions of whether a row has a k-mer."""

    def __init__(self, reference: Sketch) -> None:
        order = np.argsort(reference.code, kind="stable")
        code, row = reference.code[order], reference.row[order]
        first = np.searchsorted(code, code, "left")
        few = np.arange(len(code)) - first < _POSTINGS
        self._code, self._row = code[few], row[few]
        self._has = (reference.row.astype(np.uint64) << np.uint64(_BITS)) | reference.code

    def candidates(self, row: Integers, code: Codes, rows: int) -> tuple[Integers, Integers]:
        """Pairs of a query row and a reference row that share k-mers: of each query the few that share most."""
        low, high = (np.searchsorted(self._code, code, side) for side in ("left", "right"))
        count = high - low
        step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        pair = np.repeat(row, count) * rows + self._row[np.repeat(low, count) + step]
        pairs, shared = np.unique(pair, return_counts=True)
        one, other = pairs // rows, pairs % rows
        order = np.lexsort((-shared, one))
        one, other, shared = one[order], other[order], shared[order]
        rank = np.arange(len(one)) - np.searchsorted(one, one, "left")
        kept = (rank < _CANDIDATES) & (shared > 1)
        return one[kept], other[kept]

    def common(self, query: Sketch, row: Integers, other: Integers) -> Integers:
        """How many k-mers each pair shares, repeats and all."""
        start, count = np.searchsorted(query.row, row, "left"), query.count[row]
        pair = np.repeat(np.arange(len(row)), count)
        step = np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count)
        key = (other[pair].astype(np.uint64) << np.uint64(_BITS)) | query.code[start[pair] + step]
        return np.bincount(pair[_is_among(key, self._has)], minlength=len(row))


def found_in(sequences: Sequence[str], stretches: Iterable[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """The share [n] of each sequence's sampled 32-mers that occur, on either strand, in any stretch of tokens.

    NaN for a sequence without one.
    """
    scale = scale_for(sequences, GENOME_K)
    wanted = sketch(sequences, GENOME_K, scale)
    codes, back = np.unique(wanted.code, return_inverse=True)
    # Most of a genome is asked for by nobody: a look at 24 bits of the hash spares it the search.
    asked = np.zeros(1 << _BITS, dtype=bool)
    asked[_hash(codes) & np.uint64((1 << _BITS) - 1)] = True
    there = np.zeros(len(codes), dtype=bool)
    for tokens in stretches:
        code, kept = _sampled(tokens, GENOME_K, scale)
        code = code[kept]
        code = code[asked[_hash(code) & np.uint64((1 << _BITS) - 1)]]
        there[np.searchsorted(codes, code[_is_among(code, codes)])] = True
    with np.errstate(invalid="ignore"):
        return np.bincount(wanted.row[there[back]], minlength=len(sequences)) / wanted.count


def _spans(query: Sketch) -> Iterator[tuple[int, int]]:
    """Stretches of the sketch of whole rows, each small enough that its pairs fit the memory."""
    edges = np.searchsorted(query.row, np.arange(len(query.count) + 1), "left")
    piece = edges // (_CHUNK // _POSTINGS)
    cuts = [0, *(edges[np.flatnonzero(np.diff(piece)) + 1]).tolist(), len(query.row)]
    yield from pairwise(cuts)


def _sampled(tokens: NDArray[np.uint8], k: int, scale: int) -> tuple[Codes, NDArray[np.bool_]]:
    """The code of each k-mer [starts], the smaller of both strands', and True where it is sampled and has no N."""
    starts = max(len(tokens) - k + 1, 0)
    unknown = np.concatenate([[0], np.cumsum(tokens >= alphabet.N)])
    kept = unknown[k:] == unknown[:-k] if starts else np.zeros(0, dtype=bool)
    digits = (tokens & np.uint8(3)).astype(np.uint64)
    code = np.minimum(_forward(digits, k)[:starts], _backward(np.uint64(3) - digits, k)[:starts])
    if scale > 1:
        kept &= _hash(code) < np.uint64(2**64 // scale)
    return code, kept


def _forward(digits: Codes, k: int) -> Codes:
    """The number that the k digits from each place on make, the first counting most; made of halves."""
    if k == 1 or len(digits) < k:
        return digits
    half = k // 2
    ahead = _forward(digits, half)
    behind = ahead if k == 2 * half else _forward(digits, k - half)
    return (ahead[: len(digits) - k + 1] << np.uint64(2 * (k - half))) | behind[half : half + len(digits) - k + 1]


def _backward(digits: Codes, k: int) -> Codes:
    """The same, the last digit counting most."""
    if k == 1 or len(digits) < k:
        return digits
    half = k // 2
    ahead = _backward(digits, half)
    behind = ahead if k == 2 * half else _backward(digits, k - half)
    return (behind[half : half + len(digits) - k + 1] << np.uint64(2 * half)) | ahead[: len(digits) - k + 1]


def _hash(code: Codes) -> Codes:
    """splitmix64's mixing (Steele, Lea and Flood 2014): every bit depends on every bit."""
    mixed = (code ^ (code >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _is_among(codes: Codes, known: Codes) -> NDArray[np.bool_]:
    """True for each code that is in the sorted `known`."""
    place = np.searchsorted(known, codes)
    found: NDArray[np.bool_] = np.zeros(len(codes), dtype=bool)
    inside = place < len(known)
    found[inside] = known[place[inside]] == codes[inside]
    return found

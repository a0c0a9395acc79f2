"""Comparison of sequences by their canonical k-mers: near duplicates, and overlap with a genome.

A k-mer and its reverse complement count as one. Only a sample is compared: the k-mers with a small hash (FracMinHash; Irber et
al. 2022), so that a k-mer is sampled in every sequence or in none.
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
"""At 95 % identity, 54 % of the 12-mers are unchanged on average; over 93 % of pairs of 70 bases share `NEAR`, all of 101."""
NEAR = 0.3
LEAST_SHARED = 8
"""Smallest number of shared k-mers that counts as similarity; a sequence with fewer sampled k-mers is not compared."""
GENOME_K = 32
"""The longest k-mer that fits 64 bits; by chance none occurs twice in a genome."""
_PLAIN = str.maketrans({"U": "T", **dict.fromkeys("RYSWKMBDHVX", "N")})
_PER_SEQUENCE = 128
_CHUNK = 1 << 22
_POSTINGS = 32
"""Largest number of sequences looked up per k-mer, so that a repeat does not pair every sequence with every other."""
_CANDIDATES = 4
_BITS = 24


@dataclass(frozen=True)
class Sketch:
    """The distinct sampled k-mers of n sequences: row and code [m], sorted by both; count [n]: k-mers per sequence."""

    row: Integers
    code: Codes
    count: Integers


def plain_letters(sequences: Iterable[str]) -> list[str]:
    """Return sequences as a model reads them: upper case, U as T, ambiguity codes as N, so that spelling hides no copy."""
    return [sequence.upper().translate(_PLAIN) for sequence in sequences]


def scale_for(sequences: Sequence[str], k: int) -> int:
    """Return the scale of the sample, one k-mer in `scale`, at which a sequence of median length keeps about 128."""
    middle = int(np.median([len(sequence) for sequence in sequences])) - k + 1
    return max(1, middle // _PER_SEQUENCE)


def sketch(sequences: Sequence[str], k: int, scale: int) -> Sketch:
    """Return the sampled k-mers of each sequence, without those that contain N."""
    rows, codes = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.uint64)]
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    piece = np.cumsum(lengths) // _CHUNK
    for start, end in pairwise([0, *(np.flatnonzero(np.diff(piece)) + 1).tolist(), len(sequences)]):
        owner = np.repeat(np.arange(start, end), lengths[start:end])
        code, selected = _sampled(alphabet.encode("".join(sequences[start:end])), k, scale)
        row = owner[: len(code)]
        # The sequences are concatenated: a k-mer counts only if its first and last base are in the same one.
        selected &= row == owner[len(owner) - len(code) :]
        order = np.lexsort((code[selected], row[selected]))
        row, code = row[selected][order], code[selected][order]
        first = np.ones(len(row), dtype=bool)
        first[1:] = (np.diff(row) != 0) | (np.diff(code) != 0)
        rows.append(row[first])
        codes.append(code[first])
    row = np.concatenate(rows)
    return Sketch(row, np.concatenate(codes), np.bincount(row, minlength=len(sequences)))


def nearest_rows(query: Sketch, reference: Sketch) -> tuple[Integers, NDArray[np.float64]]:
    """Return, for each query [n], the reference row with the most shared k-mers and the share of the smaller sketch.

    The row is -1 and the share 0 if no row shares LEAST_SHARED k-mers.
    """
    best, share = np.full(len(query.count), -1, dtype=np.int64), np.zeros(len(query.count))
    for row, other, contained in _similar(query, reference):
        # Later entries overwrite earlier ones below; of equal shares the first reference row is last, and wins.
        order = np.lexsort((-other, contained, row))
        order = order[contained[order] > 0]
        best[row[order]], share[row[order]] = other[order], contained[order]
    return best, share


def near_pairs(rows: Sketch) -> tuple[Integers, Integers]:
    """Return pairs of rows that share at least NEAR of the k-mers of the one that has fewer: each row with its few nearest."""
    pairs = [np.empty((2, 0), dtype=np.int64)]
    for row, other, contained in _similar(rows, rows):
        near = (contained >= NEAR) & (row != other)
        pairs.append(np.stack([row[near], other[near]]))
    first, second = np.concatenate(pairs, axis=1)
    return first, second


def _similar(query: Sketch, reference: Sketch) -> Iterator[tuple[Integers, Integers, NDArray[np.float64]]]:
    """Yield pairs of a query and a reference row, and the share [pairs] that they have of the smaller sketch.

    The share is 0 if they have fewer than LEAST_SHARED k-mers in common.
    """
    postings = _Postings(reference)
    for low, high in _spans(query):
        row, other = postings.candidates(query.row[low:high], query.code[low:high], len(reference.count))
        common = postings.common(query, row, other)
        yield row, other, np.where(common >= LEAST_SHARED, common / np.minimum(query.count[row], reference.count[other]), 0)


class _Postings:
    """An inverted index of the reference: rows by k-mer, and a set of (row, k-mer) pairs."""

    def __init__(self, reference: Sketch) -> None:
        order = np.argsort(reference.code, kind="stable")
        code, row = reference.code[order], reference.row[order]
        first = np.searchsorted(code, code, "left")
        listed = np.arange(len(code)) - first < _POSTINGS
        self._code, self._row = code[listed], row[listed]
        # A 12-mer has 24 bits, so that row and k-mer fit one sorted integer.
        self._pairs = (reference.row.astype(np.uint64) << np.uint64(_BITS)) | reference.code

    def candidates(self, row: Integers, code: Codes, rows: int) -> tuple[Integers, Integers]:
        """Return pairs of a query row and a reference row: for each query the few that share most k-mers."""
        low, high = (np.searchsorted(self._code, code, side) for side in ("left", "right"))
        count = high - low
        step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        pair = np.repeat(row, count) * rows + self._row[np.repeat(low, count) + step]
        pairs, shared = np.unique(pair, return_counts=True)
        query, reference = pairs // rows, pairs % rows
        order = np.lexsort((-shared, query))
        query, reference, shared = query[order], reference[order], shared[order]
        rank = np.arange(len(query)) - np.searchsorted(query, query, "left")
        # 12-mers are also shared by chance, so a single one makes no candidate.
        selected = (rank < _CANDIDATES) & (shared > 1)
        return query[selected], reference[selected]

    def common(self, query: Sketch, row: Integers, other: Integers) -> Integers:
        """Count the k-mers that each pair shares, including those of repeats, which `candidates` leaves out."""
        start, count = np.searchsorted(query.row, row, "left"), query.count[row]
        pair = np.repeat(np.arange(len(row)), count)
        step = np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count)
        key = (other[pair].astype(np.uint64) << np.uint64(_BITS)) | query.code[start[pair] + step]
        return np.bincount(pair[_is_among(key, self._pairs)], minlength=len(row))


def found_in(sequences: Sequence[str], regions: Iterable[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Return, for each sequence [n], the share of its sampled 32-mers that occur on either strand in any region of tokens.

    The share is NaN for a sequence without sampled k-mers.
    """
    scale = scale_for(sequences, GENOME_K)
    queries = sketch(sequences, GENOME_K, scale)
    codes, back = np.unique(queries.code, return_inverse=True)
    # Most k-mers of a genome are in no query: a table of 24 bits of the hash rejects them without a binary search.
    filter_ = np.zeros(1 << _BITS, dtype=bool)
    filter_[_hash(codes) & np.uint64((1 << _BITS) - 1)] = True
    present = np.zeros(len(codes), dtype=bool)
    for tokens in regions:
        code, selected = _sampled(tokens, GENOME_K, scale)
        code = code[selected]
        code = code[filter_[_hash(code) & np.uint64((1 << _BITS) - 1)]]
        present[np.searchsorted(codes, code[_is_among(code, codes)])] = True
    with np.errstate(invalid="ignore"):
        return np.bincount(queries.row[present[back]], minlength=len(sequences)) / queries.count


def _spans(query: Sketch) -> Iterator[tuple[int, int]]:
    """Yield slices of the sketch that hold whole rows, each small enough that its pairs fit in memory."""
    edges = np.searchsorted(query.row, np.arange(len(query.count) + 1), "left")
    piece = edges // (_CHUNK // _POSTINGS)
    cuts = [0, *(edges[np.flatnonzero(np.diff(piece)) + 1]).tolist(), len(query.row)]
    yield from pairwise(cuts)


def _sampled(tokens: NDArray[np.uint8], k: int, scale: int) -> tuple[Codes, NDArray[np.bool_]]:
    """Return the canonical code of each k-mer [starts], and a mask of those that are sampled and have no N."""
    starts = max(len(tokens) - k + 1, 0)
    unknown = np.concatenate([[0], np.cumsum(tokens >= alphabet.N)])
    selected = unknown[k:] == unknown[:-k] if starts else np.zeros(0, dtype=bool)
    # N = 4 gets the digit of A here; its k-mers are not selected, so their codes do not matter.
    digits = (tokens & np.uint8(3)).astype(np.uint64)
    # The smaller code of both strands is the same for a k-mer and its reverse complement.
    code = np.minimum(_forward(digits, k)[:starts], _backward(np.uint64(3) - digits, k)[:starts])
    if scale > 1:
        selected &= _hash(code) < np.uint64(2**64 // scale)
    return code, selected


def _forward(digits: Codes, k: int) -> Codes:
    """Return the base-4 number of the k digits at each position, first digit most significant, in log(k) steps."""
    if k == 1 or len(digits) < k:
        return digits
    half = k // 2
    ahead = _forward(digits, half)
    behind = ahead if k == 2 * half else _forward(digits, k - half)
    return (ahead[: len(digits) - k + 1] << np.uint64(2 * (k - half))) | behind[half : half + len(digits) - k + 1]


def _backward(digits: Codes, k: int) -> Codes:
    """Return the same with the last digit most significant."""
    if k == 1 or len(digits) < k:
        return digits
    half = k // 2
    ahead = _backward(digits, half)
    behind = ahead if k == 2 * half else _backward(digits, k - half)
    return (behind[half : half + len(digits) - k + 1] << np.uint64(2 * half)) | ahead[: len(digits) - k + 1]


def _hash(code: Codes) -> Codes:
    """Mix the bits as splitmix64 does (Steele, Lea and Flood 2014), so that every bit depends on every bit."""
    mixed = (code ^ (code >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _is_among(codes: Codes, known: Codes) -> NDArray[np.bool_]:
    """Return a mask of the codes that are in the sorted array `known`."""
    place = np.searchsorted(known, codes)
    found: NDArray[np.bool_] = np.zeros(len(codes), dtype=bool)
    inside = place < len(known)
    found[inside] = known[place[inside]] == codes[inside]
    return found

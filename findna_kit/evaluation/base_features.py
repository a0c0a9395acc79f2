"""Features of sequences that need no network: k-mer frequencies, on one strand or on both, and one-hot bases."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from findna_kit import alphabet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from findna_kit.evaluation.scores import Labels

    # scipy has no type stubs here.
    Sparse = Any

_CHUNK = 2**22
"""Bases read at once, which bounds the memory of what is not kept."""


def kmer_features(sequences: Sequence[str], k: int) -> NDArray[np.float32]:
    """Return the frequencies of the k-mers in lexicographic order, and the GC share of the known bases [n, 4^k + 1].

    K-mers with N are not counted; if none is left, the frequencies are zero.
    """
    dense: NDArray[np.float32] = sparse_kmer_features(sequences, k, merged=False).toarray()
    return dense


def sparse_kmer_features(sequences: Sequence[str], k: int, *, merged: bool) -> Sparse:
    """Return the same as a sparse matrix. merged: a k-mer and its reverse complement are one feature.

    Of merged k-mers there are 4^k / 2, and for an even k half of the 4^(k/2) that are their own reverse complements besides.
    """
    # scipy takes long to import, and most commands do not need it.
    from scipy import sparse

    columns, width = _canonical_columns(k) if merged else (np.arange(4**k), 4**k)
    pieces = [sparse.csr_matrix((0, width + 1), dtype=np.float32)]
    for start, end in _pieces(sequences):
        row, code, gc = _words(sequences[start:end], k)
        total = np.maximum(np.bincount(row, minlength=end - start), 1)
        # Frequencies and not counts, so that length is no feature of its own. Equal places are summed.
        counts = sparse.coo_matrix((np.ones(len(row)), (row, columns[code])), shape=(end - start, width)).tocsr()
        counts.data /= np.repeat(total, np.diff(counts.indptr))
        pieces.append(sparse.hstack([counts, sparse.csr_matrix(gc[:, None])], format="csr", dtype=np.float32))
    return sparse.vstack(pieces, format="csr")


def sparse_one_hot(sequences: Sequence[str]) -> Sparse:
    """Return which base stands at each position, as a sparse matrix [n, 4 L]; N is 0 everywhere. All have the length L."""
    # As in `sparse_kmer_features`.
    from scipy import sparse

    tokens = alphabet.encode("".join(sequences)).reshape(len(sequences), -1)
    row, position = np.nonzero(tokens < alphabet.N)
    column = position * 4 + tokens[row, position]
    shape = (len(sequences), 4 * tokens.shape[1])
    return sparse.csr_matrix((np.ones(len(row), dtype=np.float32), (row, column)), shape=shape)


def _pieces(sequences: Sequence[str]) -> list[tuple[int, int]]:
    """Return slices of the sequences that hold about _CHUNK bases."""
    chunk = np.cumsum([len(sequence) for sequence in sequences], dtype=np.int64) // _CHUNK
    return list(pairwise(dict.fromkeys([0, *(np.flatnonzero(np.diff(chunk)) + 1).tolist(), len(sequences)])))


def _words(sequences: Sequence[str], k: int) -> tuple[Labels, Labels, NDArray[np.float64]]:
    """Return the sequence and the code of each k-mer without N [m], and each sequence's GC share [n]."""
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    n = len(lengths)
    tokens = alphabet.encode("".join(sequences))
    row = np.repeat(np.arange(n), lengths)
    known = tokens < alphabet.N
    is_gc = (tokens == alphabet.C) | (tokens == alphabet.G)
    starts = max(len(tokens) - k + 1, 0)
    code = np.zeros(starts, dtype=np.int64)
    counted = row[:starts] == row[len(tokens) - starts :]  # the last base is in the same sequence as the first
    # Each pass appends one base to the code of every k-mer: k vectorised passes instead of a loop over bases.
    for offset in range(k):
        code = code * 4 + tokens[offset : offset + starts]
        counted &= known[offset : offset + starts]
    gc = np.bincount(row[is_gc], minlength=n) / np.maximum(np.bincount(row[known], minlength=n), 1)
    return row[:starts][counted], code[counted], gc


def _canonical_columns(k: int) -> tuple[Labels, int]:
    """Return, for the code of each k-mer [4^k], the column that it shares with its reverse complement, and their number."""
    code = np.arange(4**k)
    # Reversing the order complements every base (t to 3 - t); the transpose reverses the order of the bases.
    reverse = code[::-1].reshape((4,) * k).transpose().reshape(-1)
    first, columns = np.unique(np.minimum(code, reverse), return_inverse=True)
    return columns, len(first)

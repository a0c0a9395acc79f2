"""The alphabet: A C G T N = 0 1 2 3 4, MASK = 5 (input only). Letters become tokens here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

A, C, G, T, N, MASK = range(6)
LETTERS = "ACGTN"
CHANNELS = len(LETTERS)
"""Width of a one-hot row; MASK has no channel, its row is zero."""

WRITTEN = "ACGTUNRYSWKMBDHVXacgtunryswkmbdhvx"
"""What a nucleotide may be written as: IUPAC's codes, RNA's U, and X, which some repeat maskers write for N."""

PAIRED = np.array([T, G, C, A, N], dtype=np.uint8)
"""By token A C G T N: what stands across from it, as `complement` says of tensors."""

_OTHER_STRAND = str.maketrans("ACGT", "TGCA")
_TOKENS = np.full(256, N, dtype=np.uint8)
for _token, _letter in enumerate(LETTERS):
    _TOKENS[[ord(_letter), ord(_letter.lower())]] = _token
_TOKENS[[ord("U"), ord("u")]] = T
_KNOWN = np.zeros(256, dtype=bool)
_KNOWN[[ord(letter) for letter in "ACGTNacgtn"]] = True
_ASCII = np.frombuffer(LETTERS.encode(), dtype=np.uint8)


def encode(sequence: str | bytes) -> NDArray[np.uint8]:
    """Tokens [len(sequence)] of a sequence, either case; U is read as T, every other letter than ACGT as N."""
    return _TOKENS[_bytes(sequence)]


def is_soft_masked(sequence: str | bytes) -> NDArray[np.bool_]:
    """True [len(sequence)] where the letter is lower case: a repeat, by the convention of genome assemblies."""
    letters = _bytes(sequence)
    return (letters >= ord("a")) & (letters <= ord("z"))


def is_known_letter(sequence: str | bytes) -> NDArray[np.bool_]:
    """True [len(sequence)] where the letter is one of ACGTN in either case."""
    return _KNOWN[_bytes(sequence)]


def decode(tokens: NDArray[np.uint8]) -> str:
    """The letters of tokens A C G T N, upper case. MASK has no letter: IndexError."""
    return _ASCII[tokens].tobytes().decode()


def reverse_complement(letters: str) -> str:
    """The other strand of upper-case letters; what is none of A C G T stays what it is."""
    return letters[::-1].translate(_OTHER_STRAND)


def complement(tokens: Tensor) -> Tensor:
    """`3 - t` for the four bases; N and MASK stay. Any shape."""
    return (3 - tokens).where(tokens < N, tokens)


def _bytes(sequence: str | bytes) -> NDArray[np.uint8]:
    # A letter outside Latin-1 is no base in any encoding: '?' counts as an unknown one.
    raw = sequence.encode("latin-1", "replace") if isinstance(sequence, str) else sequence
    return np.frombuffer(raw, dtype=np.uint8)

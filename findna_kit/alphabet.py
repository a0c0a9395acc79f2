"""The alphabet: tokens A C G T N = 0 1 2 3 4 and MASK = 5 (input only), and the conversion of letters to tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

A, C, G, T, N, MASK = range(6)
LETTERS = "ACGTN"
CHANNELS = len(LETTERS)
"""Channels of one-hot bases. MASK has no channel: it is encoded as zeros."""

IUPAC_LETTERS = "ACGTUNRYSWKMBDHVXacgtunryswkmbdhvx"
"""Letters that a nucleotide sequence may contain: the IUPAC codes, U of RNA, and X, which some repeat maskers write for N."""

COMPLEMENT = np.array([T, G, C, A, N], dtype=np.uint8)
"""The complement of each token A C G T N, for NumPy arrays; `complement` is the same for tensors."""

_OTHER_STRAND = str.maketrans("ACGT", "TGCA")
# Tables over all 256 bytes: one lookup per letter, and no byte is an error here. Readers of files report unknown letters.
_TOKENS = np.full(256, N, dtype=np.uint8)
for _token, _letter in enumerate(LETTERS):
    _TOKENS[[ord(_letter), ord(_letter.lower())]] = _token
_TOKENS[[ord("U"), ord("u")]] = T
_KNOWN = np.zeros(256, dtype=bool)
_KNOWN[[ord(letter) for letter in "ACGTNacgtn"]] = True
_ASCII = np.frombuffer(LETTERS.encode(), dtype=np.uint8)


def encode(sequence: str | bytes) -> NDArray[np.uint8]:
    """Return the tokens [len(sequence)] of a sequence in either case; U becomes T, and any letter other than ACGT becomes N."""
    return _TOKENS[_bytes(sequence)]


def is_soft_masked(sequence: str | bytes) -> NDArray[np.bool_]:
    """Return where the letter is lower case, [len(sequence)]; in genome assemblies this marks repeats."""
    letters = _bytes(sequence)
    return (letters >= ord("a")) & (letters <= ord("z"))


def is_known_letter(sequence: str | bytes) -> NDArray[np.bool_]:
    """Return where the letter is one of ACGTN in either case, [len(sequence)]."""
    return _KNOWN[_bytes(sequence)]


def decode(tokens: NDArray[np.uint8]) -> str:
    """Return the upper-case letters of tokens A C G T N. Raises IndexError for MASK, which has no letter."""
    return _ASCII[tokens].tobytes().decode()


def reverse_complement(letters: str) -> str:
    """Return the reverse complement of upper-case letters; letters other than A C G T are not changed."""
    return letters[::-1].translate(_OTHER_STRAND)


def complement(tokens: Tensor) -> Tensor:
    """Return the complement of tokens of any shape: `3 - t` for the four bases; N and MASK stay."""
    # A C G T are numbered so that complements add up to 3.
    return (3 - tokens).where(tokens < N, tokens)


def _bytes(sequence: str | bytes) -> NDArray[np.uint8]:
    """Return the bytes of a sequence, uint8 [len(sequence)]."""
    # A character outside Latin-1 is replaced by '?', which is an unknown letter like any other.
    raw = sequence.encode("latin-1", "replace") if isinstance(sequence, str) else sequence
    return np.frombuffer(raw, dtype=np.uint8)

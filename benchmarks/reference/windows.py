"""Windows as the reference reads them: one by one from a FASTA, encoded with scikit-learn, masked in numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pyfaidx import Fasta
from sklearn.preprocessing import LabelBinarizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Place = tuple[str, int]
LETTERS = "acgnt"
"""In the order of a LabelBinarizer's columns, which it sorts."""


class Reader:
    """One-hot windows [L, 5] over LETTERS.

    As in the reference, `windows` opens the FASTA for every window. `looked_up` keeps it open.
    """

    def __init__(self, fasta: Path, length: int) -> None:
        self._path, self._length = str(fasta), length
        self._fasta = Fasta(self._path, as_raw=True)  # also writes the index
        self._binarizer = LabelBinarizer().fit(list(LETTERS))

    def letters(self, fasta: Fasta, place: Place) -> str:
        """Return the lower-case letters of one window."""
        contig, start = place
        return str(fasta[contig][start : start + self._length]).lower()

    def opened(self, place: Place) -> str:
        """Return the same from a newly opened FASTA."""
        with Fasta(self._path, as_raw=True) as fasta:
            return self.letters(fasta, place)

    def windows(self, places: Sequence[Place]) -> NDArray[np.float32]:
        """Return windows [B, L, 5]."""
        return np.stack([self._binarizer.transform(list(self.opened(place))) for place in places]).astype(np.float32)

    def looked_up(self, places: Sequence[Place]) -> NDArray[np.float32]:
        """Return windows [B, L, 5], encoded with a look-up table: the first improvement that one would make."""
        table = np.zeros((256, len(LETTERS)), dtype=np.float32)
        table[np.frombuffer(LETTERS.encode(), dtype=np.uint8)] = np.eye(len(LETTERS))
        return np.stack([table[np.frombuffer(self.letters(self._fasta, place).encode(), dtype=np.uint8)] for place in places])

    def close(self) -> None:
        """Close the file."""
        self._fasta.close()


def masked(
    window: NDArray[np.float32], fraction: float, numbers: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Mask that share of a window's rows [L, 5]; return the window and the masked positions.

    Of these, 80 % become zero, 10 % a random letter, and 10 % stay.
    """
    shown = window.copy()
    index = numbers.choice(len(window), round(fraction * len(window)), replace=False)
    kind = numbers.random(len(index))
    shown[index[kind < 0.8]] = 0
    drawn = index[(kind >= 0.8) & (kind < 0.9)]
    shown[drawn] = np.eye(len(LETTERS), dtype=np.float32)[
        [LETTERS.index(base) for base in numbers.choice(list("acgt"), len(drawn))]
    ]
    return shown, index

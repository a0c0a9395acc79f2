"""Windows as the reference code reads them: one by one from a FASTA, encoded by scikit-learn, masked in numpy."""

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
"""In the sorted order of a LabelBinarizer, which is the order of its columns."""


class Reader:
    """One-hot windows [L, 5] over LETTERS.

    As in the reference code, `windows` opens the FASTA for every window; `looked_up` reads one that stays open.
    """

    def __init__(self, fasta: Path, length: int) -> None:
        self._path, self._length = str(fasta), length
        self._fasta = Fasta(self._path, as_raw=True)  # also builds the index
        self._binarizer = LabelBinarizer().fit(list(LETTERS))

    def letters(self, fasta: Fasta, place: Place) -> str:
        """Return the lower-case letters of one window."""
        contig, start = place
        return str(fasta[contig][start : start + self._length]).lower()

    def opened(self, place: Place) -> str:
        """Return the same from a FASTA that is opened for this window."""
        with Fasta(self._path, as_raw=True) as fasta:
            return self.letters(fasta, place)

    def windows(self, places: Sequence[Place]) -> NDArray[np.float32]:
        """Return one-hot windows [B, L, 5]."""
        return np.stack([self._binarizer.transform(list(self.opened(place))) for place in places]).astype(np.float32)

    def looked_up(self, places: Sequence[Place]) -> NDArray[np.float32]:
        """Return one-hot windows [B, L, 5] by a look-up table, the most obvious improvement."""
        table = np.zeros((256, len(LETTERS)), dtype=np.float32)
        table[np.frombuffer(LETTERS.encode(), dtype=np.uint8)] = np.eye(len(LETTERS))
        return np.stack([table[np.frombuffer(self.letters(self._fasta, place).encode(), dtype=np.uint8)] for place in places])

    def close(self) -> None:
        """Close the file."""
        self._fasta.close()


def masked(
    window: NDArray[np.float32], fraction: float, numbers: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Mask this share of the positions of a window [L, 5]; return it and the positions.

    Of these 80 % become zero, 10 % a random letter, and 10 % stay.
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

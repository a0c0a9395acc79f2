"""Distances between embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def embedding_distances(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosine and Euclidean distances [n, 2] of the rows of two matrices [n, D]."""
    with np.errstate(invalid="ignore"):  # an embedding of zeros has no direction; its NaN is written as a missing score
        unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (first, second)]
    # Half the squared distance of unit vectors equals 1 - cosine, without loss of digits by cancellation.
    cosine = ((unit[0] - unit[1]) ** 2).sum(1) / 2
    return np.stack([cosine, np.linalg.norm(first - second, axis=1)], 1)

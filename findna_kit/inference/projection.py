"""Projections of embeddings to two dimensions, for plots: PCA, t-SNE and UMAP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Method = Literal["pca", "tsne", "umap"]
_SEED = 0
_PERPLEXITY, _NEIGHBOURS = 30, 15
_MIN_ROWS = 4


def check_enough_rows(rows: int) -> None:
    """Raise FindnaError if there are fewer rows than a plot needs."""
    if rows < _MIN_ROWS:
        raise FindnaError(f"a plot needs at least {_MIN_ROWS} rows, and there are {rows}: leave --picture out")


def project(embeddings: NDArray[np.float32], method: Method) -> tuple[NDArray[np.float32], tuple[str, str]]:
    """Return the coordinates [n, 2] of embeddings [n, D], and the names of both axes. The seed is fixed.

    pca: the two directions of largest variance. tsne: van der Maaten and Hinton 2008, initialised by PCA. umap: McInnes et al.
    2018, by the package umap-learn. Raises FindnaError for fewer than 4 rows, and for embeddings that are all equal, have one
    dimension, or are not finite.
    """
    check_enough_rows(len(embeddings))
    if not np.isfinite(embeddings).all():
        raise FindnaError("some embeddings are not finite and cannot be plotted: has the run diverged?")
    if embeddings.shape[1] < 2 or (embeddings == embeddings[0]).all():
        raise FindnaError("a plot needs embeddings of at least 2 dimensions that are not all equal: leave --picture out")
    if method == "pca":
        pca = PCA(2, random_state=_SEED)
        coordinates = pca.fit_transform(embeddings)
        first, second = pca.explained_variance_ratio_
        return coordinates, (f"PC 1 ({first:.0%} of the variance)", f"PC 2 ({second:.0%} of the variance)")
    if method == "tsne":
        # t-SNE needs a perplexity below the number of rows; 30 is scikit-learn's default.
        perplexity = min(_PERPLEXITY, (len(embeddings) - 1) / 3)
        coordinates = TSNE(2, perplexity=perplexity, init="pca", random_state=_SEED).fit_transform(embeddings)
        return coordinates, ("t-SNE 1", "t-SNE 2")
    from umap import UMAP  # an optional dependency that takes 10 s to import

    neighbours = min(_NEIGHBOURS, len(embeddings) - 1)
    start = "spectral" if len(embeddings) > _NEIGHBOURS else "random"  # a spectral start needs more rows than dimensions
    coordinates = UMAP(n_components=2, n_neighbors=neighbours, init=start, random_state=_SEED, n_jobs=1).fit_transform(
        embeddings
    )
    return np.asarray(coordinates), ("UMAP 1", "UMAP 2")

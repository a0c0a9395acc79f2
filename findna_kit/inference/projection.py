"""Embeddings in two dimensions, to be looked at and not to be measured."""

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
_FEWEST = 4


def refuse_few(rows: int) -> None:
    """FindnaError for fewer rows than a picture needs."""
    if rows < _FEWEST:
        raise FindnaError(f"a picture needs {_FEWEST} rows or more, and there are {rows}: leave --picture out")


def project(embeddings: NDArray[np.float32], method: Method) -> tuple[NDArray[np.float32], tuple[str, str]]:
    """Places [n, 2] of embeddings [n, D], the same each time, and what the axes are called.

    pca: the two directions of largest variance, with its share. tsne: van der Maaten & Hinton 2008, from PCA. umap: McInnes et
    al. 2018, of the package umap-learn. Raises FindnaError for fewer than 4 rows, and for rows that are all the same, of one
    number, or not finite.
    """
    refuse_few(len(embeddings))
    if not np.isfinite(embeddings).all():
        raise FindnaError("some embeddings are not finite, so there is no picture of them: has the run diverged?")
    if embeddings.shape[1] < 2 or (embeddings == embeddings[0]).all():
        raise FindnaError("a picture needs embeddings of at least 2 numbers that are not all the same: leave --picture out")
    if method == "pca":
        pca = PCA(2, random_state=_SEED)
        places = pca.fit_transform(embeddings)
        first, second = pca.explained_variance_ratio_
        return places, (f"PC 1 ({first:.0%} of the variance)", f"PC 2 ({second:.0%} of the variance)")
    if method == "tsne":
        perplexity = min(_PERPLEXITY, (len(embeddings) - 1) / 3)
        places = TSNE(2, perplexity=perplexity, init="pca", random_state=_SEED).fit_transform(embeddings)
        return places, ("t-SNE 1", "t-SNE 2")
    from umap import UMAP  # an extra, and 10 s of compiling

    neighbours = min(_NEIGHBOURS, len(embeddings) - 1)
    start = "spectral" if len(embeddings) > _NEIGHBOURS else "random"  # a spectral start needs more rows than dimensions
    found = UMAP(n_components=2, n_neighbors=neighbours, init=start, random_state=_SEED, n_jobs=1).fit_transform(embeddings)
    return np.asarray(found), ("UMAP 1", "UMAP 2")

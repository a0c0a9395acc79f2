"""Embeddings in two dimensions: the largest variance, neighbours that stay neighbours, and what cannot be drawn."""

import importlib.util

import numpy as np
import pytest

from findna_kit.errors import FindnaError
from findna_kit.inference.projection import project

pytestmark = pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")  # umap says so when it is imported


def blobs(rows=60, dim=8):
    """Three heaps far apart, and which row is of which."""
    rng = np.random.default_rng(0)
    kind = np.arange(rows) % 3
    return (10 * np.eye(3, dim)[kind] + rng.normal(size=(rows, dim))).astype(np.float32), kind


@pytest.fixture(params=["pca", "tsne", "umap"])
def method(request):
    if request.param == "umap" and importlib.util.find_spec("umap") is None:
        pytest.skip("umap-learn is not installed: it comes with the extra umap")
    return request.param


def test_heaps_stay_heaps_and_places_are_the_same_each_time(method):
    embeddings, kind = blobs()
    places, axes = project(embeddings, method)
    assert places.shape == (60, 2)
    assert np.isfinite(places).all()
    assert len(set(axes)) == 2
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1) + np.diag(np.full(60, np.inf))
    assert (kind[distance.argmin(1)] == kind).all()
    assert np.array_equal(project(embeddings, method)[0], places)


def test_the_first_axis_has_the_largest_variance_and_says_its_share():
    rng = np.random.default_rng(1)
    embeddings = (rng.normal(size=(500, 4)) * [1, 5, 0.1, 2]).astype(np.float32)
    places, axes = project(embeddings, "pca")
    assert abs(np.corrcoef(places[:, 0], embeddings[:, 1])[0, 1]) > 0.99
    assert abs(np.corrcoef(places[:, 1], embeddings[:, 3])[0, 1]) > 0.99
    along = np.linalg.eigvalsh(np.cov(embeddings.T))
    assert axes == tuple(f"PC {n} ({along[-n] / along.sum():.0%} of the variance)" for n in (1, 2))


@pytest.mark.parametrize("rows", [4, 5, 20])
def test_few_rows_are_enough(rows, method):
    places, _ = project(blobs(rows)[0], method)
    assert places.shape == (rows, 2)
    assert np.isfinite(places).all()


@pytest.mark.parametrize(("embeddings", "sentence"), [
    (np.eye(3, dtype=np.float32), "a plot needs at least 4 rows, and there are 3: leave --picture out"),
    (np.ones((5, 3), dtype=np.float32), "of at least 2 dimensions that are not all equal"),
    (np.arange(5, dtype=np.float32)[:, None], "of at least 2 dimensions that are not all equal"),
    (np.full((5, 3), np.nan, dtype=np.float32), "some embeddings are not finite.* has the run diverged"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_a_sentence(embeddings, sentence):
    for method in ("pca", "tsne"):
        with pytest.raises(FindnaError, match=sentence):
            project(embeddings, method)

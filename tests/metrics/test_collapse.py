"""Collapse signals at their ends."""

import pytest
import torch

from findna_kit.metrics.collapse import feature_deviation, rankme


def test_spread_embeddings_have_a_deviation_near_one_and_full_rank():
    embeddings = torch.randn(4000, 16, generator=torch.Generator().manual_seed(0))
    assert feature_deviation(embeddings) == pytest.approx(1.0, abs=0.02)
    assert rankme(embeddings) == pytest.approx(16, rel=0.01)


def test_one_embedding_for_all_has_neither():
    embeddings = torch.ones(100, 16) * torch.rand(100, 1)
    assert feature_deviation(embeddings) < 1e-3
    assert rankme(embeddings) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_rankme_counts_equal_directions(rank):
    basis = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(1))).Q
    assert rankme(basis[:, :rank] @ basis[:rank]) == pytest.approx(rank, rel=0.01)


def test_rankme_equals_the_paper():
    embeddings = torch.randn(50, 8, generator=torch.Generator().manual_seed(2))
    singular = torch.linalg.eigvalsh(embeddings.T @ embeddings).clamp(min=0).sqrt()
    share = singular / singular.sum() + 1e-7
    assert rankme(embeddings) == pytest.approx(float(torch.exp(-sum(p * torch.log(p) for p in share))), rel=1e-3)

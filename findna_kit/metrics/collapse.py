"""Collapse signals: numbers that show whether embeddings [n, D] carry little information."""

from __future__ import annotations

import torch
from torch import Tensor


def feature_deviation(embeddings: Tensor) -> float:
    """Return the mean standard deviation of the channels of l2-normalised embeddings, times sqrt(D).

    0: all embeddings have the same direction. 1: they are uniform on the sphere (Chen and He 2021, SimSiam, section 4.1).
    """
    unit = torch.nn.functional.normalize(embeddings.float(), dim=-1)
    # A channel of uniform unit vectors has variance 1 / D, which the factor sqrt(D) turns into 1.
    return float(unit.std(0, correction=0).mean() * embeddings.shape[-1] ** 0.5)


def rankme(embeddings: Tensor) -> float:
    """Return the effective rank: exp of the entropy of the normalised singular values (Garrido et al. 2023, RankMe, eq. 1)."""
    # In float32, because torch has no SVD in half precision.
    singular = torch.linalg.svdvals(embeddings.float())
    # The paper's constants: 1e-7 keeps the logarithm of a zero singular value finite.
    # The clamp is for embeddings that are all zero.
    share = singular / singular.sum().clamp(min=1e-12) + 1e-7
    return float(torch.exp(-(share * share.log()).sum()))

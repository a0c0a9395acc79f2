"""Heads that several losses use."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Projector(nn.Sequential):
    """An MLP with GELU between its layers: `dim -> hidden -> ... -> output`, `layers` linear layers in all."""

    def __init__(self, dim: int, hidden: int, output: int, layers: int) -> None:
        sizes = [dim, *[hidden] * (layers - 1), output]
        modules: list[nn.Module] = []
        for first, second in pairwise(sizes):
            modules += [nn.Linear(first, second), nn.GELU()]
        super().__init__(*modules[:-1])


class Prototypes(nn.Module):
    """Cosine similarity to `count` prototypes (DINO's weight-normalised last layer with its norms kept at 1)."""

    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(count, dim))

    def forward(self, x: Tensor) -> Tensor:
        """[..., dim] to [..., count], each in [-1, 1]."""
        return F.linear(F.normalize(x, dim=-1), F.normalize(self.weight, dim=-1))

"""What the heads of losses are made of."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEPT = 0.9
"""Share of the old running statistics kept per step; what torch calls a momentum of 0.1."""


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy 2015) over all but the last dimension, in heads of losses that couple the batch.

    Those see the whole global batch at once, so its statistics are the same for any micro-batch and number of processes. A
    forward is pure: what it saw of each view is kept until the trainer calls `after_step`, which moves the running statistics.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int, *, affine: bool = True, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(features)) if affine else None
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))
        self._seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        """[..., features], fp32 statistics; in training those of the rows themselves, else the running ones."""
        if not self.training:
            mean, variance = self.running_mean, self.running_var
        else:
            rows = x.float().flatten(0, -2)
            variance, mean = torch.var_mean(rows, dim=0, correction=0)
            self._seen.append((mean.detach(), variance.detach() * (len(rows) / max(len(rows) - 1, 1))))
        normed = (x.float() - mean) * torch.rsqrt(variance + self.epsilon)
        if self.weight is not None and self.bias is not None:
            normed = normed * self.weight + self.bias
        return normed.to(x.dtype)

    def before_step(self) -> None:
        """Forgets what forwards outside of a step have seen."""
        self._seen.clear()

    @torch.no_grad()
    def after_step(self) -> None:
        """Moves the running statistics towards those of the step, averaged over its forwards."""
        for running, seen in zip((self.running_mean, self.running_var), zip(*self._seen, strict=True), strict=False):
            running.lerp_(torch.stack(seen).mean(0), 1 - _KEPT)
        self._seen.clear()


def batch_norms(modules: Iterable[nn.Module]) -> list[BatchNorm]:
    """Every one inside of the modules."""
    return [inner for module in modules for inner in module.modules() if isinstance(inner, BatchNorm)]


class Projector(nn.Sequential):
    """An MLP: `dim -> hidden -> ... -> output`, `layers` linear layers in all, GELU between them.

    norm: `batch` has BatchNorm and ReLU in GELU's place, as SimCLR, BYOL and their kin; the last layer has neither.
    """

    def __init__(self, dim: int, hidden: int, output: int, layers: int, *, norm: Literal["none", "batch"] = "none") -> None:
        sizes = [dim, *[hidden] * (layers - 1), output]
        modules: list[nn.Module] = []
        for first, second in pairwise(sizes):
            between = [nn.GELU()] if norm == "none" else [BatchNorm(second), nn.ReLU()]
            # A bias before the norm would be taken out by it: of its gradient nothing but rounding is left.
            modules += [nn.Linear(first, second, bias=norm == "none"), *between]
        last = 1 if norm == "none" else 2  # nothing stands after the last layer
        super().__init__(*modules[:-last])
        if norm == "batch":
            self[-1] = nn.Linear(sizes[-2], sizes[-1])


class Prototypes(nn.Module):
    """Cosine similarity to `count` prototypes (DINO's weight-normalised last layer with its norms kept at 1)."""

    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(count, dim))

    def forward(self, x: Tensor) -> Tensor:
        """[..., dim] to [..., count], each in [-1, 1]."""
        return F.linear(F.normalize(x, dim=-1), F.normalize(self.weight, dim=-1))

"""Building blocks of the heads of losses: MLP projectors, prototypes, and batch normalisation of the global batch."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOMENTUM = 0.9
"""Share of the old running statistics kept per step; torch.nn.BatchNorm1d calls this a momentum of 0.1."""


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy 2015) over all but the last dimension, for heads of losses that couple the batch.

    Such losses see the whole global batch at once, so the statistics are the same for any micro-batch size and number of
    processes. A forward pass changes no state: it records the statistics of its input, and `after_step` updates the running
    statistics with what was recorded.
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
        # A list and not a buffer: what it holds matters within one step only, and does not belong in a checkpoint.
        self._recorded: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [..., features] with fp32 statistics: in training those of the input, otherwise the running ones."""
        if not self.training:
            mean, variance = self.running_mean, self.running_var
        else:
            rows = x.float().flatten(0, -2)
            variance, mean = torch.var_mean(rows, dim=0, correction=0)
            # Normalisation uses the biased variance; the running variance is the unbiased one, as in torch.
            self._recorded.append((mean.detach(), variance.detach() * (len(rows) / max(len(rows) - 1, 1))))
        normalised = (x.float() - mean) * torch.rsqrt(variance + self.epsilon)
        if self.weight is not None and self.bias is not None:
            normalised = normalised * self.weight + self.bias
        return normalised.to(x.dtype)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return copies of the running mean and variance."""
        return self.running_mean.clone(), self.running_var.clone()

    def restore(self, mean: Tensor, variance: Tensor) -> None:
        """Set the running mean and variance."""
        self.running_mean.copy_(mean)
        self.running_var.copy_(variance)

    def before_step(self) -> None:
        """Discard statistics that forward passes outside a step have recorded."""
        self._recorded.clear()

    @torch.no_grad()
    def after_step(self) -> None:
        """Update the running statistics with those of the step, averaged over its forward passes."""
        # Not strict: after a step without a training pass nothing is recorded, and the statistics must stay as they are.
        for running, recorded in zip((self.running_mean, self.running_var), zip(*self._recorded, strict=True), strict=False):
            running.lerp_(torch.stack(recorded).mean(0), 1 - _MOMENTUM)
        self._recorded.clear()


def batch_norms(modules: Iterable[nn.Module]) -> list[BatchNorm]:
    """Return every BatchNorm inside the modules."""
    return [inner for module in modules for inner in module.modules() if isinstance(inner, BatchNorm)]


_ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU}


class Projector(nn.Sequential):
    """An MLP `dim -> hidden -> ... -> output` of `layers` linear layers with GELU between them.

    norm: `batch` puts BatchNorm and ReLU between the layers instead of GELU, as in SimCLR and BYOL. activation: another one
    than these. last_bias: False for a last layer without bias.
    """

    def __init__(
        self,
        dim: int,
        hidden: int,
        output: int,
        layers: int,
        *,
        norm: Literal["none", "batch"] = "none",
        activation: Literal["gelu", "relu"] | None = None,
        last_bias: bool = True,
    ) -> None:
        sizes = [dim, *[hidden] * (layers - 1), output]
        activate = _ACTIVATIONS[activation or ("gelu" if norm == "none" else "relu")]
        modules: list[nn.Module] = []
        for place, (first, second) in enumerate(pairwise(sizes), 1):
            between = [activate()] if norm == "none" else [BatchNorm(second), activate()]
            # BatchNorm removes a bias before it, whose gradient would be rounding errors.
            bias = norm == "none" and (last_bias or place < layers)
            modules += [nn.Linear(first, second, bias=bias), *between]
        last = 1 if norm == "none" else 2  # nothing follows the last layer
        super().__init__(*modules[:-last])
        if norm == "batch" and last_bias:
            # The last layer has no BatchNorm after it, so it gets its bias back.
            self[-1] = nn.Linear(sizes[-2], sizes[-1])


class Prototypes(nn.Module):
    """Cosine similarity to `count` prototypes (the weight-normalised last layer of DINO with norms fixed at 1)."""

    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        # `forward` uses only the directions of these vectors, and those of normal vectors are uniform over the sphere.
        self.weight = nn.Parameter(torch.randn(count, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Return the similarities [..., count], each in [-1, 1], of embeddings [..., dim]."""
        return F.linear(F.normalize(x, dim=-1), F.normalize(self.weight, dim=-1))

"""Spread of projections: a metric that shows when a loss has collapsed.

For l2-normalised projections z, the variances of the channels add up to `1 - |mean z|^2`. It is 1 if z is spread evenly over
the sphere (each channel then has standard deviation 1 / sqrt(d), which Chen and He 2021, section 4.1, plot), and 0 if all z are
equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from findna_kit.components import BranchOutput, Clock, Loss

if TYPE_CHECKING:
    from collections.abc import Mapping


def unit(outputs: Mapping[str, BranchOutput], head: str) -> dict[str, Tensor]:
    """Return the outputs of a head for each view, in fp32, scaled to length 1."""
    return {name: F.normalize(output.heads[head].float(), dim=-1) for name, output in outputs.items()}


def batch_spread(views: Mapping[str, Tensor]) -> Tensor:
    """Return `1 - |mean z|^2` over all samples and views, each [B, d] of unit vectors; for losses that see the whole batch."""
    mean = torch.cat([z.detach() for z in views.values()]).mean(0)
    return 1 - mean.square().sum()


def around(views: Mapping[str, Tensor], mean: Tensor) -> Tensor:
    """Return `|z - mean|^2` averaged over views and summed over sequences, z [B, d]: additive over parts of a batch."""
    return torch.stack([(z.detach() - mean).square().sum() for z in views.values()]).mean()


def middle(views: Mapping[str, Tensor]) -> Tensor:
    """Return each sequence's mean over views, [B, d], detached: the state input for the next step's mean."""
    return torch.stack([z.detach() for z in views.values()]).mean(0)


class SpreadAround(Loss):
    """Base class of losses that report the spread of their projections around a mean.

    With `norm: batch` in the Config the loss couples the batch, and the mean is that of the batch. Otherwise it is that of the
    last step, kept in a buffer. `output` in the Config is the width of the projections.
    """

    config: Any
    mean: Tensor

    def __init__(self, config: Any, *, dim: int, class_tokens: int) -> None:
        super().__init__(config, dim=dim, class_tokens=class_tokens)
        self.coupling = "batch" if config.norm == "batch" else "sample"
        # A micro-batch is too small for a mean of its own, so the mean of the last step is used.
        if self.coupling == "sample":
            self.register_buffer("mean", torch.zeros(config.output))

    def spread(self, projected: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the spread of unit projections [B, d], summed over sequences, and the state inputs for the next mean."""
        means = middle(projected)
        if self.coupling == "batch":
            return around(projected, means.mean(0)), {}
        return around(projected, self.mean), {"projections": means}

    def after_step(self, state_inputs: Mapping[str, Tensor], clock: Clock) -> None:
        """Store the mean projection of the batch."""
        if self.coupling == "sample":
            self.mean.copy_(state_inputs["projections"].mean(0))

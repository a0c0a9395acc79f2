"""How far projections are from being all alike: the loss's own sign of collapse.

Of l2-normalised projections z, the squares of the channels' deviations add up to `1 - |mean z|^2`: 1 where z spreads evenly
over the sphere, each channel then deviating by 1 / sqrt(d); 0 where every z points the same way (Chen and He 2021, section 4.1,
plot that deviation).
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
    """What a head made of each view, fp32, at length 1."""
    return {name: F.normalize(output.heads[head].float(), dim=-1) for name, output in outputs.items()}


def together(views: Mapping[str, Tensor]) -> Tensor:
    """`1 - |mean z|^2` over the rows of all views, each [B, d] at length 1; for a loss that has the whole batch before it."""
    mean = torch.cat([z.detach() for z in views.values()]).mean(0)
    return 1 - mean.square().sum()


def around(views: Mapping[str, Tensor], mean: Tensor) -> Tensor:
    """The mean over views of `|z - mean|^2`, each z [B, d], summed over sequences: it adds up over any parts of a batch."""
    return torch.stack([(z.detach() - mean).square().sum() for z in views.values()]).mean()


def middle(views: Mapping[str, Tensor]) -> Tensor:
    """What to carry for the next mean: each sequence's mean over views, [B, d], detached."""
    return torch.stack([z.detach() for z in views.values()]).mean(0)


class SpreadAround(Loss):
    """Measures the spread of its projections around their mean: the batch's, or, where it sees no batch, the last step's.

    Its parameters have `norm`, of which `batch` couples the batch, and `output`, the width of the projections.
    """

    config: Any
    mean: Tensor

    def __init__(self, config: Any, *, dim: int, class_tokens: int) -> None:
        super().__init__(config, dim=dim, class_tokens=class_tokens)
        self.coupling = "batch" if config.norm == "batch" else "sample"
        if self.coupling == "sample":
            self.register_buffer("mean", torch.zeros(config.output))

    def spread(self, projected: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Of the views' unit projections [B, d], summed over sequences; and what to carry for the next step's mean."""
        mine = middle(projected)
        if self.coupling == "batch":
            return around(projected, mine.mean(0)), {}
        return around(projected, self.mean), {"projections": mine}

    def after_step(self, state_inputs: Mapping[str, Tensor], clock: Clock) -> None:
        """Keeps the batch's mean projection."""
        if self.coupling == "sample":
            self.mean.copy_(state_inputs["projections"].mean(0))

"""How far projections are from being all alike: the loss's own sign of collapse.

Of l2-normalised projections z, the squares of the channels' deviations add up to `1 - |mean z|^2`: 1 where z spreads evenly
over the sphere, each channel then deviating by 1 / sqrt(d); 0 where every z points the same way (Chen and He 2021, section 4.1,
plot that deviation).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from findna_kit.interfaces import BranchOutput


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

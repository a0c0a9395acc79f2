"""Positions of the same base in two views of a window, found through `View.origin`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from findna_kit.components import View


def partners(masked: View, unmasked: View) -> tuple[Tensor, Tensor]:
    """Return the position in `unmasked` of each base masked in `masked`, [B, M] int64, and the weight of the pair [B, M].

    The weight is that of the masked position, or 0 if the base is not in the other view (deleted, cropped away); its position
    is then meaningless. If a base occurs more than once, the first position is returned. The strand does not matter, because an
    embedding belongs to a base on either strand. A view is its own partner at every position.
    """
    target = masked.origin.gather(1, masked.masked_index)
    origin, position = unmasked.origin.sort(dim=1, stable=True)
    # A base beyond the largest origin gets the index L, which the clamp makes valid; the comparison below then rejects it.
    # Inserted bases have origin -1 in both views, and `target >= 0` keeps them from being matched with each other.
    nearest = torch.searchsorted(origin, target).clamp(max=origin.shape[1] - 1)
    present = (origin.gather(1, nearest) == target) & (target >= 0)
    return position.gather(1, nearest), masked.masked_weight * present

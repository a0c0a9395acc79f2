"""Where a base of one view stands in another view of the same window: pairs through `View.origin`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from findna_kit.components import View


def partners(masked: View, shown: View) -> tuple[Tensor, Tensor]:
    """The position in `shown` of each base masked in `masked`, [B, M] int64, and the pair's weight [B, M].

    The weight is that of the masked position, and 0 where the base is not in the other view (deleted, cropped away); the
    position then means nothing. Of a base that stands there more than once, the first is taken. Either strand will do: an
    embedding is of the base, whichever way it is read. A view is its own partner at every position.
    """
    wanted = masked.origin.gather(1, masked.masked_index)
    origin, place = shown.origin.sort(dim=1, stable=True)
    nearest = torch.searchsorted(origin, wanted).clamp(max=origin.shape[1] - 1)
    found = (origin.gather(1, nearest) == wanted) & (wanted >= 0)
    return place.gather(1, nearest), masked.masked_weight * found

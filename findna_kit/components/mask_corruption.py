"""What maskings share: how many bases are masked, which may be, and what the student is shown in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from pydantic import Field, model_validator

from findna_kit import alphabet
from findna_kit.components.interfaces import ComponentConfig

if TYPE_CHECKING:
    from torch import Tensor

    from findna_kit.components.views import Draw, View


class MaskCorruptionConfig(ComponentConfig):
    """A share of each sequence's own bases; some of them are shown as another base, or as they are (BERT, section 3.1)."""

    fraction: float = Field(0.3, gt=0, le=1, description="share of a sequence's bases that are masked")
    mask_share: float = Field(0.8, ge=0, le=1, description="of the masked: shown as MASK")
    random_share: float = Field(0.1, ge=0, le=1, description="of the masked: shown as a random base; the rest as they are")

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.mask_share + self.random_share > 1:
            raise ValueError("mask_share and random_share add up to more than 1")
        return self

    def slots(self, view: View) -> int:
        """M = round(fraction * L) or 1."""
        return max(1, round(self.fraction * view.tokens.shape[1]))

    def wanted(self, own: Tensor) -> Tensor:
        """How many of the `own` bases [B, L] are masked, [B, 1]: at least one where there is one, at most M."""
        count = own.sum(1, keepdim=True)
        return (self.fraction * count.double()).round().long().clamp(min=1).minimum(count)  # double, to round as `slots` does

    def masked(self, view: View, index: Tensor, wanted: Tensor, choice: Tensor, draw: Draw) -> View:
        """The view masked at the first `wanted` [B, 1] of the positions `index` [B, M]; the other slots weigh 0.

        choice [B, M]: uniform; slots of one choice are all hidden, all random or all left.
        """
        slots = index.shape[1]
        weight = (torch.arange(slots, device=index.device)[None] < wanted).float()
        shown = view.tokens.gather(1, index)
        shown = draw.integers(0, 4, slots).where(choice < self.mask_share + self.random_share, shown)
        return view.with_mask(index, weight, shown.masked_fill_(choice < self.mask_share, alphabet.MASK))


def maskable_bases(view: View) -> Tensor:
    """What may be masked, [B, L]: neither N nor padding nor inserted."""
    return (view.strand != 0) & (view.tokens < alphabet.N)  # a strand is what neither an inserted base nor padding has

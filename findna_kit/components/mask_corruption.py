"""How many bases a masking masks, which may be masked, and what the student receives in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from pydantic import Field, model_validator

from findna_kit import alphabet
from findna_kit.components.interfaces import ComponentConfig

if TYPE_CHECKING:
    from torch import Tensor

    from findna_kit.components.draws import Draw
    from findna_kit.components.views import View


class MaskCorruptionConfig(ComponentConfig):
    """The share of bases that a masking masks, and how they are corrupted (Devlin et al. 2019, BERT, section 3.1)."""

    fraction: float = Field(0.3, gt=0, le=1, description="share of a sequence's bases that are masked")
    lowest_fraction: float | None = Field(
        None, gt=0, le=1,
        description="if set, the share of each sequence is drawn between this and `fraction`, uniformly (Zhou 2022, iBOT)",
    )  # fmt: skip
    probability: float = Field(
        1.0, gt=0, le=1, description="probability that a sequence is masked at all; the others are seen whole (0.5 in iBOT)"
    )
    mask_share: float = Field(0.8, ge=0, le=1, description="share of the masked bases that are replaced by MASK")
    random_share: float = Field(
        0.1, ge=0, le=1, description="share of the masked bases that are replaced by a random base; the rest stay as they are"
    )
    repeat_weight: float = Field(
        1.0, ge=0, le=1,
        description="weight in the masked loss of a soft-masked base (lower case: repeats), 0.1 in GPN (Benegas 2023); that of "
        "others is 1; with 0 the student sees the base",
    )  # fmt: skip

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        """Require shares that add up to at most 1, and a lowest fraction that is not the highest."""
        if self.lowest_fraction is not None and self.lowest_fraction > self.fraction:
            raise ValueError("lowest_fraction is above fraction, the largest share that is masked")
        if self.mask_share + self.random_share > 1:
            raise ValueError("mask_share and random_share add up to more than 1")
        return self

    @property
    def uses_soft_masking(self) -> bool:
        """Return whether lower case in the genome has an effect."""
        return self.repeat_weight < 1

    def max_masked(self, view: View) -> int:
        """Return M, the number of slots per sequence: round(fraction * L), at least 1. It does not depend on the data."""
        return max(1, round(self.fraction * view.tokens.shape[1]))

    def num_masked(self, maskable: Tensor, draw: Draw) -> Tensor:
        """Return how many bases of each sequence are masked, [B, 1], at most M.

        It is at least one if any base is `maskable` [B, L], and 0 for a sequence that `probability` leaves out.
        """
        count = maskable.sum(1, keepdim=True)
        # In double precision, so that it rounds as `max_masked` does in Python.
        share: Tensor | float = self.fraction
        if self.lowest_fraction is not None:
            share = self.lowest_fraction + (self.fraction - self.lowest_fraction) * draw.uniform(1).double()
        # The minimum comes last, so that a sequence without a maskable base gets 0 and not 1.
        masked = (share * count.double()).round().long().clamp(min=1).minimum(count)
        return masked if self.probability == 1 else masked * (draw.uniform(1) < self.probability)

    def mask(self, view: View, index: Tensor, num_masked: Tensor, choice: Tensor, draw: Draw) -> View:
        """Return the view masked at the first `num_masked` [B, 1] of the positions `index` [B, M]; other slots weigh 0.

        A soft-masked base weighs `repeat_weight`, so that repeats, which are many and easy to predict, count less.
        choice: [B, M] uniform numbers that decide between MASK, a random base and the base itself. Slots with the same number
        are treated alike, which is how spans are corrupted as a whole.
        """
        slots = index.shape[1]
        weight = (torch.arange(slots, device=index.device)[None] < num_masked).float()
        if self.repeat_weight < 1:  # `soft_masked` is a lazy column, which is not computed for nothing
            weight = (weight * self.repeat_weight).where(view.soft_masked.gather(1, index), weight)
        corrupted = view.tokens.gather(1, index)
        # One number decides between three outcomes: MASK below `mask_share`, a random base up to `mask_share + random_share`,
        # and the base itself above. So random bases are written to both of the first ranges, and MASK over the first of them.
        corrupted = draw.integers(0, 4, slots).where(choice < self.mask_share + self.random_share, corrupted)
        return view.with_mask(index, weight, corrupted.masked_fill_(choice < self.mask_share, alphabet.MASK))


def maskable_bases(view: View) -> Tensor:
    """Return which positions may be masked, [B, L] bool: neither N nor padding nor an inserted base."""
    return (view.strand != 0) & (view.tokens < alphabet.N)  # strand is 0 for inserted bases and for padding

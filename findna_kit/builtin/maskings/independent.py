"""Positions masked independently of one another (Devlin et al. 2019, BERT, section 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from pydantic import Field, model_validator

from findna_kit import dna
from findna_kit.interfaces import ComponentConfig, Masking

if TYPE_CHECKING:
    from findna_kit.views import Draw, View


class IndependentMasking(Masking):
    """Masks a share of each sequence's own bases; some of them are shown as another base, or as they are."""

    class Config(ComponentConfig):
        """How many, and what the student is shown there."""

        fraction: float = Field(0.3, gt=0, le=1, description="share of a sequence's bases that are masked")
        mask_share: float = Field(0.8, ge=0, le=1, description="of the masked: shown as MASK")
        random_share: float = Field(0.1, ge=0, le=1, description="of the masked: shown as a random base; the rest as they are")

        @model_validator(mode="after")
        def _shares(self) -> Self:
            if self.mask_share + self.random_share > 1:
                raise ValueError("mask_share and random_share add up to more than 1")
            return self

    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """The masked view; M = round(fraction * L) or 1, slots that a sequence with N or padding cannot fill weigh 0."""
        length = view.tokens.shape[1]
        slots = max(1, round(self.config.fraction * length))
        eligible = view.valid & (view.tokens < dna.N) & (view.origin >= 0)
        order = draw.uniform(length).masked_fill(~eligible, 2.0).topk(slots, dim=1, largest=False).indices
        own = eligible.sum(1, keepdim=True)
        wanted = (self.config.fraction * own).round().clamp(min=1).minimum(own)  # a short sequence has one masked base at least
        weight = (torch.arange(slots, device=order.device)[None] < wanted).float()
        choice = draw.uniform(slots)
        shown = view.tokens.gather(1, order)
        shown = draw.integers(0, 4, slots).where(choice < self.config.mask_share + self.config.random_share, shown)
        shown = torch.where(choice < self.config.mask_share, dna.MASK, shown)
        return view.masked_at(order, weight, shown)

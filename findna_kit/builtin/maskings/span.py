"""Contiguous spans masked as wholes (Joshi et al. 2020, SpanBERT, section 3.1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from findna_kit.components import Draw, MaskCorruptionConfig, Masking, View, maskable_bases

if TYPE_CHECKING:
    from torch import Tensor


class SpanMasking(Masking):
    """Masks spans of bases; each span is hidden, replaced by random bases or left as a whole.

    Spans do not overlap, but may touch. What may not be masked (N, inserted bases) is stepped over. The last span drawn is
    cut to the number wanted. Every arrangement is as likely, so the few bases nearest the two ends are masked less often.
    """

    class Config(MaskCorruptionConfig):
        """How many, in spans of which lengths, and what the student is shown there."""

        end_probability: float = Field(0.2, gt=0, lt=1, description="of a span to end at each of its bases")
        longest: int = Field(
            10, ge=1, description="longest span; lengths beyond it are not drawn, so the mean is 3.8 by default"
        )

        def lengths(self, uniform: Tensor) -> Tensor:
            """Geometric lengths on 1 ... longest, by the inverse of their distribution function."""
            stay = math.log1p(-self.end_probability)
            reached = -math.expm1(self.longest * stay)
            return ((-reached * uniform.double()).log1p() / stay).long().clamp(max=self.longest - 1) + 1

    examples = ({}, {"fraction": 1, "longest": 3})
    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """The masked view."""
        slots, own = self.config.max_masked(view), maskable_bases(view)
        wanted, count = self.config.num_masked(own), own.sum(1, keepdim=True)
        ends, before = self._arranged(slots, wanted, count - wanted, draw, own.shape[1])
        slot = torch.arange(slots, device=own.device).repeat(len(own), 1)
        span = torch.searchsorted(ends, slot, right=True).clamp(max=slots - 1)
        # Slots that are not used stand where nothing may be masked.
        rank = (slot + before.gather(1, span)).where(slot < wanted, count + slot - wanted)
        index = (~own).to(torch.int8).argsort(dim=1, stable=True).gather(1, rank)
        return self.config.mask(view, index, wanted, draw.uniform(slots).gather(1, span), draw)

    def _arranged(self, slots: int, wanted: Tensor, left: Tensor, draw: Draw, length: int) -> tuple[Tensor, Tensor]:
        """Spans in a random order among the bases that are `left` [B, 1], as many as make up `wanted` [B, 1].

        For each in order of position, both [B, M]: masked bases up to its end, and bases left before it. Of the `length`
        things that could stand in a row the first `left + spans` are there; spans take the places that drew least.
        """
        ends = self.config.lengths(draw.uniform(slots)).cumsum(1).minimum(wanted)
        lengths = ends.diff(dim=1, prepend=torch.zeros_like(wanted))
        things = left + (lengths > 0).sum(1, keepdim=True)
        at = torch.arange(length, device=wanted.device)[None]
        place = draw.uniform(length).masked_fill(at >= things, 2.0).topk(slots, dim=1, largest=False).indices
        place, order = place.masked_fill(lengths == 0, length).sort(dim=1)
        return lengths.gather(1, order).cumsum(1), place - at[:, :slots]

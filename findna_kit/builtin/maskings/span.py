"""Masking of contiguous spans (Joshi et al. 2020, SpanBERT, section 3.1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from findna_kit.components import Draw, MaskCorruptionConfig, Masking, View, maskable_bases

if TYPE_CHECKING:
    from torch import Tensor


class SpanMasking(Masking):
    """Masking of contiguous spans, each replaced by MASK or by random bases, or left as it is (SpanBERT, Joshi 2020).

    Spans do not overlap, but may touch. They skip positions that may not be masked (N, inserted bases). The last span is cut so
    that the number of masked bases is exact. All arrangements are equally likely, so bases near the ends are masked less often.
    """

    class Config(MaskCorruptionConfig):
        """Share of masked bases, lengths of the spans, and their corruption."""

        end_probability: float = Field(0.2, gt=0, lt=1, description="probability that a span ends at each of its bases")
        longest: int = Field(
            10, ge=1, description="length of the longest span; longer ones are not drawn, so the mean length is 3.8 by default"
        )

        def lengths(self, uniform: Tensor) -> Tensor:
            """Return geometric lengths on 1 ... longest for uniform numbers, by inverting the distribution function."""
            # log1p and expm1 stay accurate for a tiny end_probability, of which 1 - end_probability keeps few digits or none.
            stay = math.log1p(-self.end_probability)
            # The probability of a length up to `longest`: scaling by it truncates the distribution.
            total = -math.expm1(self.longest * stay)
            return ((-total * uniform.double()).log1p() / stay).long().clamp(max=self.longest - 1) + 1

    examples = ({}, {"fraction": 1, "longest": 3}, {"fraction": 0.5, "lowest_fraction": 0.1, "probability": 0.5})
    config: Config

    @property
    def uses_soft_masking(self) -> bool:
        """Return whether lower case in the genome has an effect."""
        return self.config.uses_soft_masking

    def __call__(self, view: View, draw: Draw) -> View:
        """Return the masked view."""
        slots, maskable = self.config.max_masked(view), maskable_bases(view)
        num_masked, count = self.config.num_masked(maskable, draw), maskable.sum(1, keepdim=True)
        ends, before = self._arrange(slots, num_masked, count - num_masked, draw, maskable.shape[1])
        # `repeat` and not `expand`: searchsorted copies values that are not contiguous, with a warning.
        slot = torch.arange(slots, device=maskable.device).repeat(len(maskable), 1)
        # Slot s is the s-th masked base in order of position, and belongs to the first span whose end is above s.
        span = torch.searchsorted(ends, slot, right=True).clamp(max=slots - 1)
        # The rank of a slot's base among the maskable ones. Unused slots get ranks beyond: positions that may not be masked, or
        # the last one again, where a sequence has more unused slots than such positions.
        unused = (count + slot - num_masked).clamp(max=maskable.shape[1] - 1)
        rank = (slot + before.gather(1, span)).where(slot < num_masked, unused)
        # A stable sort puts the maskable positions first, in their order, so that it translates ranks into positions.
        index = (~maskable).to(torch.int8).argsort(dim=1, stable=True).gather(1, rank)
        return self.config.mask(view, index, num_masked, draw.uniform(slots).gather(1, span), draw)

    def _arrange(self, slots: int, num_masked: Tensor, unmasked: Tensor, draw: Draw, length: int) -> tuple[Tensor, Tensor]:
        """Draw spans that cover `num_masked` [B, 1] bases, and arrange them at random among `unmasked` [B, 1] bases.

        Returns for each span in order of position, both [B, M]: masked bases up to its end, and unmasked bases before it.
        To arrange spans among single bases is to choose places for the spans among `unmasked + spans` places: those with the
        smallest random numbers. Numbers are drawn for `length` places; those that do not exist come last.
        """
        # There are as many draws as slots, enough for spans of one base. Those beyond the last span get length 0.
        ends = self.config.lengths(draw.uniform(slots)).cumsum(1).minimum(num_masked)
        lengths = ends.diff(dim=1, prepend=torch.zeros_like(num_masked))
        places = unmasked + (lengths > 0).sum(1, keepdim=True)
        index = torch.arange(length, device=num_masked.device)[None]
        place = draw.uniform(length).masked_fill(index >= places, 2.0).topk(slots, dim=1, largest=False).indices
        # topk sorts by random number and not by position, so lengths meet places in random order. Empty spans go to the end.
        place, order = place.masked_fill(lengths == 0, length).sort(dim=1)
        # Before a span at place p, the k-th, there are p - k single bases.
        return lengths.gather(1, order).cumsum(1), place - index[:, :slots]

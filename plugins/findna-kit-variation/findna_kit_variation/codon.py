"""Masking of whole codons in a random reading frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from findna_kit.components import Draw, MaskCorruptionConfig, Masking, View, maskable_bases

if TYPE_CHECKING:
    from torch import Tensor


_BASES = 3


class CodonMasking(Masking):
    """Masking of triplets in one of three reading frames, drawn for each sequence (after SpanBERT, Joshi 2020).

    A codon is hidden, replaced or left unchanged as a whole, so that a base cannot be predicted from the other two bases of its
    codon alone. Codons that are cut off, or that contain a position that may not be masked (N, an inserted base), are left out.
    M is a multiple of three, and 0 for views with fewer than three positions.
    """

    class Config(MaskCorruptionConfig):
        """Share of bases to mask (rounded to codons), and what the student sees in their place."""

        def codons(self, bases: Tensor | int) -> Tensor:
            """Return how many codons to mask in sequences of this many bases; at least one."""
            return (self.fraction / _BASES * torch.as_tensor(bases).double()).round().long().clamp(min=1)

    config: Config

    @property
    def uses_soft_masking(self) -> bool:
        """Return whether lower case in the genome has an effect."""
        return self.config.uses_soft_masking

    def __call__(self, view: View, draw: Draw) -> View:
        """Return the view with whole codons masked."""
        maskable = maskable_bases(view)
        codons = maskable.shape[1] // _BASES
        slots = min(codons, int(self.config.codons(maskable.shape[1])))
        position = self._positions(maskable.shape[1], draw.integers(0, _BASES, 1))
        # All three bases may be masked, and the codon does not wrap around the end of the sequence.
        possible = maskable.gather(1, position.flatten(1)).view_as(position).all(2) & (position[..., 2] >= position[..., 0])
        count = self.config.codons(maskable.sum(1, keepdim=True)).minimum(possible.sum(1, keepdim=True)).clamp(max=slots)
        # The codons with the smallest random numbers; 2 is larger than all of them.
        selected = draw.uniform(codons).masked_fill(~possible, 2.0).topk(slots, dim=1, largest=False).indices
        index = position.gather(1, selected[..., None].expand(-1, -1, _BASES)).flatten(1)
        choice = draw.uniform(slots).repeat_interleave(_BASES, dim=1)
        return self.config.mask(view, index, count * _BASES, choice, draw)

    def _positions(self, length: int, frame: Tensor) -> Tensor:
        """Return the positions [B, length // 3, 3] of the codons in each sequence's reading frame [B, 1].

        The last codon may wrap around to the beginning of the sequence. So no position is in two codons.
        """
        offsets = torch.arange(length // _BASES * _BASES, device=frame.device)
        return ((frame + offsets) % length).view(len(frame), -1, _BASES)

"""Codons masked as wholes, in a reading frame of each sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from findna_kit.components import Draw, MaskCorruptionConfig, Masking, View, maskable_bases

if TYPE_CHECKING:
    from torch import Tensor


_BASES = 3


class CodonMasking(Masking):
    """Masks triplets of bases in one of three frames, drawn for each sequence; a codon is hidden, replaced or left as a whole.

    As spans are by SpanBERT (Joshi et al. 2020): a base that can be told from the other two of its codon is not masked without
    them. A codon that is not whole, or holds what may not be masked (N, an inserted base), is left out. M is a multiple of
    three; of a view with fewer than three positions it is 0.
    """

    class Config(MaskCorruptionConfig):
        """How many, and what the student is shown there; counted in bases and rounded to codons."""

        def codons(self, bases: Tensor | int) -> Tensor:
            """How many codons are masked of that many bases; at least one."""
            return (self.fraction / _BASES * torch.as_tensor(bases).double()).round().long().clamp(min=1)

    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """The masked view."""
        own = maskable_bases(view)
        places = own.shape[1] // _BASES
        slots = min(places, int(self.config.codons(own.shape[1])))
        position = self._positions(own.shape[1], draw.integers(0, _BASES, 1))
        possible = own.gather(1, position.flatten(1)).view_as(position).all(2) & (position[..., 2] >= position[..., 0])
        wanted = self.config.codons(own.sum(1, keepdim=True)).minimum(possible.sum(1, keepdim=True)).clamp(max=slots)
        chosen = draw.uniform(places).masked_fill(~possible, 2.0).topk(slots, dim=1, largest=False).indices
        index = position.gather(1, chosen[..., None].expand(-1, -1, _BASES)).flatten(1)
        choice = draw.uniform(slots).repeat_interleave(_BASES, dim=1)
        return self.config.mask(view, index, wanted * _BASES, choice, draw)

    def _positions(self, length: int, frame: Tensor) -> Tensor:
        """Of the codons of each sequence's frame [B, 1]: [B, length // 3, 3].

        The last may go on at the sequence's beginning: no whole codon, but no position stands in two of them.
        """
        at = torch.arange(length // _BASES * _BASES, device=frame.device)
        return ((frame + at) % length).view(len(frame), -1, _BASES)

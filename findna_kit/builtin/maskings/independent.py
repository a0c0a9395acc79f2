"""Positions masked independently of one another (Devlin et al. 2019, BERT, section 3.1)."""

from __future__ import annotations

import torch

from findna_kit.components import Draw, MaskCorruptionConfig, Masking, View, maskable_bases


class IndependentMasking(Masking):
    """Masking of single bases, each replaced by MASK or by a random base, or left as it is (BERT, Devlin 2019)."""

    class Config(MaskCorruptionConfig):
        """Share of masked bases, and their corruption."""

    examples = ({}, {"fraction": 1}, {"fraction": 0.1, "mask_share": 0, "random_share": 1})
    config: Config

    @property
    def uses_soft_masking(self) -> bool:
        """Return whether lower case in the genome has an effect."""
        return self.config.uses_soft_masking

    def __call__(self, view: View, draw: Draw) -> View:
        """Return the masked view."""
        slots, maskable = self.config.max_masked(view), maskable_bases(view)
        # The positions with the smallest random numbers are masked; the number 2 puts a position that may not be masked last.
        # The bits of non-negative floats have the order of the floats, and integers compare faster.
        number = draw.uniform(maskable.shape[1]).masked_fill_(~maskable, 2.0).view(torch.int32)
        index = number.topk(slots, dim=1, largest=False).indices
        return self.config.mask(view, index, self.config.num_masked(maskable, draw), draw.uniform(slots), draw)

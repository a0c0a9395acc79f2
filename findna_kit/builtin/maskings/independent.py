"""Positions masked independently of one another (Devlin et al. 2019, BERT, section 3.1)."""

from __future__ import annotations

import torch

from findna_kit.components import Draw, MaskCorruptionConfig, Masking, View, maskable_bases


class IndependentMasking(Masking):
    """Masks bases here and there; each is hidden, replaced or left by itself."""

    class Config(MaskCorruptionConfig):
        """How many, and what the student is shown there."""

    examples = ({}, {"fraction": 1}, {"fraction": 0.1, "mask_share": 0, "random_share": 1})
    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """The masked view."""
        slots, own = self.config.max_masked(view), maskable_bases(view)
        # As integers, which compare faster: the bits of two floats from 0 up are in the order of the floats.
        number = draw.uniform(own.shape[1]).masked_fill_(~own, 2.0).view(torch.int32)
        index = number.topk(slots, dim=1, largest=False).indices
        return self.config.mask(view, index, self.config.num_masked(own), draw.uniform(slots), draw)

"""Translocation: a circular roll (EvoAug; Lee et al. 2023, Genome Biology 24:105)."""

from __future__ import annotations

from functools import partial

import torch

from findna_kit.components import Augmentation, Draw, SegmentConfig, View, shifted_segments


class Translocation(Augmentation):
    """Cuts each sequence in two and swaps the parts: a roll to the right or, as often, to the left."""

    class Config(SegmentConfig):
        """How far the sequence is rolled."""

    examples = ({"maximum": 8}, {"minimum": 3, "maximum": 40})
    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """The view with each sequence rolled on the ring of its valid positions."""
        count = view.lengths[:, None]
        length, _ = self.config.draw(view, draw)
        length = torch.where(draw.uniform(1) < 0.5, -length, length) % count.clamp(min=1)  # to the right, whichever it was
        source = partial(
            shifted_segments,
            view.tokens.shape[1],
            ends=(length, count),
            shifts=(count - length, -length, torch.zeros_like(count)),
        )
        return view.gather(source, padding_stays=True)

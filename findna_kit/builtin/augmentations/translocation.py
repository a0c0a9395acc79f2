"""Translocation: a circular roll (EvoAug; Lee et al. 2023, Genome Biology 24:105)."""

from __future__ import annotations

from functools import partial

import torch

from findna_kit.components import Augmentation, Draw, SegmentConfig, View, shifted_segments


class Translocation(Augmentation):
    """Translocation: a circular roll of each sequence to the left or the right by a random distance (EvoAug, Lee 2023)."""

    class Config(SegmentConfig):
        """Distance of the roll."""

    examples = ({"maximum": 8}, {"minimum": 3, "maximum": 40})
    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """Return the view with each sequence rolled around its valid positions."""
        count = view.lengths[:, None]
        length, _ = self.config.draw(view, draw)
        # Modulo the length of the sequence, a roll to the left is a roll to the right.
        length = torch.where(draw.uniform(1) < 0.5, -length, length) % count.clamp(min=1)
        source = partial(
            shifted_segments,
            view.tokens.shape[1],
            ends=(length, count),
            shifts=(count - length, -length, torch.zeros_like(count)),
        )
        return view.gather(source, padding_stays=True)

"""Deletion of a stretch (EvoAug; Lee et al. 2023, Genome Biology 24:105)."""

from __future__ import annotations

from functools import partial

import torch

from findna_kit.components import Augmentation, Draw, SegmentConfig, View, shifted_segments


class Deletion(Augmentation):
    """Takes out a stretch and fills up with random bases, half of them before the sequence, half after it."""

    class Config(SegmentConfig):
        """How long the stretch is."""

    examples = ({"maximum": 8}, {"minimum": 3, "maximum": 40})
    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """The view with a stretch missing from each sequence."""
        count = view.lengths[:, None]
        length, largest = self.config.draw(view, draw)
        begin = draw.integers(0, count - largest + 1, 1)
        filled, whole = length // 2, view.tokens.shape[1]
        random = torch.full_like(count, -whole)  # below 0 from any position
        source = partial(
            shifted_segments,
            whole,
            ends=(filled, filled + begin, count - length + filled, count),
            shifts=(random, -filled, length - filled, random, torch.zeros_like(count)),
        )
        return view.gather(source, inserted=draw.integers(0, 4, whole), padding_stays=True)

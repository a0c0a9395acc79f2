"""Insertion of random bases (EvoAug; Lee et al. 2023, Genome Biology 24:105)."""

from __future__ import annotations

from functools import partial

import torch

from findna_kit.components import Augmentation, Draw, SegmentConfig, View, shifted_segments


class Insertion(Augmentation):
    """Puts random bases into each sequence. EvoAug's result is longer by `maximum`; this is its central part, L long."""

    class Config(SegmentConfig):
        """How many bases are put in."""

    examples = ({"maximum": 8}, {"minimum": 3, "maximum": 40})
    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """The view with a random stretch in each sequence, cut at both ends to the length that it had."""
        count = view.lengths[:, None]
        length, largest = self.config.draw(view, draw)
        begin = draw.integers(0, count.clamp(min=1), 1)
        cut = largest // 2 - (largest - length) // 2  # of what the longer sequence begins with, this much is not seen
        first, whole = (begin - cut).clamp(min=0).minimum(count), view.tokens.shape[1]
        last = (begin - cut + length).minimum(count)
        random = torch.full_like(count, -whole)  # below 0 from any position
        source = partial(
            shifted_segments,
            whole,
            ends=(first, last, count),
            shifts=(cut, random, cut - length, torch.zeros_like(count)),
        )
        return view.gather(source, inserted=draw.integers(0, 4, whole), padding_stays=True)

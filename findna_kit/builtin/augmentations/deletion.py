"""Deletion of a segment (EvoAug; Lee et al. 2023, Genome Biology 24:105)."""

from __future__ import annotations

from functools import partial

import torch

from findna_kit.components import Augmentation, Draw, SegmentConfig, View, shifted_segments


class Deletion(Augmentation):
    """Deletion of a random segment of each sequence; random bases at both ends keep its length (EvoAug, Lee 2023)."""

    class Config(SegmentConfig):
        """Length of the deleted segment."""

    examples = ({"maximum": 8}, {"minimum": 3, "maximum": 40})
    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """Return the view with a random segment of each sequence deleted."""
        count = view.lengths[:, None]
        length, largest = self.config.draw(view, draw)
        # Bounded by the largest length and not by the drawn one, as in EvoAug: the start does not depend on the length.
        begin = draw.integers(0, count - largest + 1, 1)
        left, width = length // 2, view.tokens.shape[1]  # left: random bases before the sequence
        random = torch.full_like(count, -width)  # a shift that makes every position negative, which means inserted
        # Segments of the result: random bases, the sequence up to the deletion, the sequence after it, random bases, padding.
        source = partial(
            shifted_segments,
            width,
            ends=(left, left + begin, count - length + left, count),
            shifts=(random, -left, length - left, random, torch.zeros_like(count)),
        )
        return view.gather(source, inserted=draw.integers(0, 4, width), padding_stays=True)

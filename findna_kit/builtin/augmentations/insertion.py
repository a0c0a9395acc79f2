"""Insertion of random bases (EvoAug; Lee et al. 2023, Genome Biology 24:105)."""

from __future__ import annotations

from functools import partial

import torch

from findna_kit.components import Augmentation, Draw, SegmentConfig, View, shifted_segments


class Insertion(Augmentation):
    """Insertion of random bases at a random position of each sequence; both ends are cut to keep its length (EvoAug, Lee 2023).

    The result of EvoAug is longer by `maximum`; this is its central part, of length L.
    """

    class Config(SegmentConfig):
        """Number of inserted bases."""

    examples = ({"maximum": 8}, {"minimum": 3, "maximum": 40})
    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """Return the view with random bases inserted into each sequence; its length is unchanged."""
        count = view.lengths[:, None]
        length, largest = self.config.draw(view, draw)
        begin = draw.integers(0, count.clamp(min=1), 1)
        # EvoAug fills up with (largest - length) // 2 random bases before the sequence, and with the rest after it. All of
        # them lie outside the central part, so the only random bases here are the inserted ones.
        cut = largest // 2 - (largest - length) // 2  # bases that are cut from the start of the longer sequence
        first, width = (begin - cut).clamp(min=0).minimum(count), view.tokens.shape[1]
        last = (begin - cut + length).minimum(count)
        random = torch.full_like(count, -width)  # a shift that makes every position negative, which means inserted
        # Segments of the result: the sequence up to the insertion, random bases, the sequence after it, padding.
        source = partial(
            shifted_segments,
            width,
            ends=(first, last, count),
            shifts=(cut, random, cut - length, torch.zeros_like(count)),
        )
        return view.gather(source, inserted=draw.integers(0, 4, width), padding_stays=True)

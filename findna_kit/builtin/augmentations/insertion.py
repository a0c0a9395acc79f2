"""Insertion of random bases (EvoAug; Lee et al. 2023, Genome Biology 24:105)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.builtin.augmentations.spans import SpanConfig, positions
from findna_kit.interfaces import Augmentation

if TYPE_CHECKING:
    from findna_kit.views import Draw, View


class Insertion(Augmentation):
    """Puts random bases into each sequence. EvoAug's result is longer by `maximum`; this is its central part, L long."""

    class Config(SpanConfig):
        """How many bases are put in."""

    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """The view with a random stretch in each sequence, cut at both ends to the length that it had."""
        at, count = positions(view)
        length, largest = self.config.draw(view, draw)
        begin = draw.integers(0, count.clamp(min=1), 1)
        grown = at + largest // 2 - (largest - length) // 2  # position in the longer sequence
        source = grown - length * (grown >= begin + length)
        source = source.where((grown < begin) | (grown >= begin + length), -1).where(at < count, at)
        return view.take(source, inserted=draw.integers(0, 4, at.shape[1]))

"""Deletion of a stretch (EvoAug; Lee et al. 2023, Genome Biology 24:105)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.builtin.augmentations.spans import SpanConfig, positions
from findna_kit.interfaces import Augmentation

if TYPE_CHECKING:
    from findna_kit.views import Draw, View


class Deletion(Augmentation):
    """Takes out a stretch and fills up with random bases, half of them before the sequence, half after it."""

    class Config(SpanConfig):
        """How long the stretch is."""

    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """The view with a stretch missing from each sequence."""
        at, count = positions(view)
        length, largest = self.config.draw(view, draw)
        begin = draw.integers(0, count - largest + 1, 1)
        filled = length // 2
        source = at - filled
        source = source + length * (source >= begin)
        inside = (at >= filled) & (at < count - length + filled)
        source = source.where(inside, -1).where(at < count, at)
        return view.take(source, inserted=draw.integers(0, 4, at.shape[1]))

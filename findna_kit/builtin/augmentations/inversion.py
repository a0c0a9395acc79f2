"""Inversion of a stretch (EvoAug; Lee et al. 2023, Genome Biology 24:105)."""

from __future__ import annotations

from findna_kit.components import Augmentation, Draw, SegmentConfig, View, positions_and_lengths


class Inversion(Augmentation):
    """Puts the reverse complement of a stretch in its place."""

    class Config(SegmentConfig):
        """How long the stretch is."""

    examples = ({"maximum": 8}, {"minimum": 3, "maximum": 40})
    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """The view with a stretch of each sequence read from the other strand."""
        at, count = positions_and_lengths(view)
        length, largest = self.config.draw(view, draw)
        begin = draw.integers(0, count - largest + 1, 1)
        inside = (at >= begin) & (at < begin + length)
        return view.gather((2 * begin + length - 1 - at).where(inside, at), flipped=inside, padding_stays=True)

"""Inversion of a segment (EvoAug; Lee et al. 2023, Genome Biology 24:105)."""

from __future__ import annotations

from findna_kit.components import Augmentation, Draw, SegmentConfig, View, positions_and_lengths


class Inversion(Augmentation):
    """Inversion: a random segment of each sequence is replaced by its reverse complement (EvoAug, Lee 2023)."""

    class Config(SegmentConfig):
        """Length of the inverted segment."""

    examples = ({"maximum": 8}, {"minimum": 3, "maximum": 40})
    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """Return the view with a random segment of each sequence reverse-complemented."""
        position, count = positions_and_lengths(view)
        length, largest = self.config.draw(view, draw)
        begin = draw.integers(0, count - largest + 1, 1)
        inside = (position >= begin) & (position < begin + length)
        source = (2 * begin + length - 1 - position).where(inside, position)  # mirrored at the middle of the segment
        return view.gather(source, flipped=inside, padding_stays=True)

"""Translocation: a circular roll (EvoAug; Lee et al. 2023, Genome Biology 24:105)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from findna_kit.builtin.augmentations.spans import SpanConfig, positions
from findna_kit.interfaces import Augmentation

if TYPE_CHECKING:
    from findna_kit.views import Draw, View


class Translocation(Augmentation):
    """Cuts each sequence in two and swaps the parts: a roll to the right or, as often, to the left."""

    class Config(SpanConfig):
        """How far the sequence is rolled."""

    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """The view with each sequence rolled on the ring of its valid positions."""
        at, count = positions(view)
        length, _ = self.config.draw(view, draw)
        length = torch.where(draw.uniform(1) < 0.5, -length, length)
        return view.take(((at - length) % count.clamp(min=1)).where(at < count, at))

"""Reverse complement: the same sequence read from the other strand."""

from __future__ import annotations

import torch
from pydantic import Field

from findna_kit.components import Augmentation, ComponentConfig, Draw, View, positions_and_lengths


class ReverseComplement(Augmentation):
    """Reverse complement of random sequences; targets, origin and strand follow."""

    class Config(ComponentConfig):
        """Probability of the change."""

        probability: float = Field(0.5, ge=0, le=1, description="probability that a sequence is reverse-complemented")

    examples = ({}, {"probability": 1})
    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """Return the view with some sequences reverse-complemented; padding stays last."""
        position, count = positions_and_lengths(view)
        flipped = draw.uniform(1) < self.config.probability
        source = count - 1 - position
        # Positions of unflipped sequences and of padding stay: `count * flipped` is 0 for a sequence that is not flipped.
        torch.where(position < count * flipped, source, position, out=source)
        return view.gather(source, flipped=flipped, padding_stays=True)

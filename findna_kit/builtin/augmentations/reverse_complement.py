"""Reverse complement: the same stretch read from the other strand."""

from __future__ import annotations

import torch
from pydantic import Field

from findna_kit.components import Augmentation, ComponentConfig, Draw, View, positions_and_lengths


class ReverseComplement(Augmentation):
    """Turns some sequences round; targets, origin and strand turn with them."""

    class Config(ComponentConfig):
        """How often."""

        probability: float = Field(0.5, ge=0, le=1, description="share of the sequences that are turned round")

    examples = ({}, {"probability": 1})
    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """The view with each sequence as it is or reverse-complemented; padding stays last."""
        at, count = positions_and_lengths(view)
        turned = draw.uniform(1) < self.config.probability
        source = count - 1 - at
        torch.where(at < count * turned, source, at, out=source)
        return view.gather(source, flipped=turned, padding_stays=True)

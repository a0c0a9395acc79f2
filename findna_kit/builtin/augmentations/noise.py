"""Gaussian noise on the one-hot bases (EvoAug; Lee et al. 2023, Genome Biology 24:105)."""

from __future__ import annotations

import torch
from pydantic import Field

from findna_kit.components import Augmentation, ComponentConfig, Draw, View


class Noise(Augmentation):
    """Gaussian noise on the one-hot bases, drawn once, after every other augmentation (EvoAug, Lee 2023)."""

    class Config(ComponentConfig):
        """Standard deviation of the noise."""

        deviation: float = Field(0.2, ge=0, description="standard deviation; the variances of several noises add up")

    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """Return the view with more noise: its variance grows by `deviation` squared."""
        # Only the deviation is kept here. The noise is drawn once per view, at the end, the same for both branches.
        before = torch.zeros(view.tokens.shape[0], device=view.tokens.device) if view.deviation is None else view.deviation
        return view.with_noise((before.square() + self.config.deviation**2).sqrt())

"""Gaussian noise on the one-hot bases (EvoAug; Lee et al. 2023, Genome Biology 24:105)."""

from __future__ import annotations

import torch
from pydantic import Field

from findna_kit.components import Augmentation, ComponentConfig, Draw, View


class Noise(Augmentation):
    """States the noise of a view. It is drawn once, when the bases are encoded, after everything else."""

    class Config(ComponentConfig):
        """How much."""

        deviation: float = Field(0.2, ge=0, description="standard deviation; several noises add in variance")

    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """The view with that much more noise."""
        before = torch.zeros(view.tokens.shape[0], device=view.tokens.device) if view.deviation is None else view.deviation
        return view.with_noise((before.square() + self.config.deviation**2).sqrt())

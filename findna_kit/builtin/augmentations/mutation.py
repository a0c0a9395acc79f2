"""Random substitutions (EvoAug; Lee et al. 2023, Genome Biology 24:105)."""

from __future__ import annotations

from pydantic import Field

from findna_kit import alphabet
from findna_kit.components import Augmentation, ComponentConfig, Draw, View


class Mutation(Augmentation):
    """Replaces bases by random ones, of which a quarter are the same again; N stays N."""

    class Config(ComponentConfig):
        """How many."""

        fraction: float = Field(0.05, ge=0, le=0.75, description="share of the bases that change")

    examples = ({"fraction": 0.2}, {"fraction": 0.75})
    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """The view with `fraction` of the bases of each sequence changed, in expectation."""
        length = view.tokens.shape[1]
        drawn = min(length, round(self.config.fraction / 0.75 * length))  # a draw is silent one time in four
        chosen = draw.uniform(length).topk(drawn, dim=1).indices
        bases = draw.integers(0, 4, drawn)
        old = view.tokens.gather(1, chosen)
        return view.with_tokens(view.tokens.scatter(1, chosen, bases.where(old < alphabet.N, old)))

"""Random substitutions (EvoAug; Lee et al. 2023, Genome Biology 24:105)."""

from __future__ import annotations

from pydantic import Field

from findna_kit import alphabet
from findna_kit.components import Augmentation, ComponentConfig, Draw, View


class Mutation(Augmentation):
    """Substitution of random bases, all bases equally likely; N stays N (EvoAug, Lee 2023)."""

    class Config(ComponentConfig):
        """Share of the bases that change."""

        fraction: float = Field(0.05, ge=0, le=0.75, description="expected share of the bases that change")

    examples = ({"fraction": 0.2}, {"fraction": 0.75})
    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """Return the view with `fraction` of the bases of each sequence changed, in expectation."""
        length = view.tokens.shape[1]
        # As in EvoAug, a base is replaced by one of all four, which is the same base in one case of four.
        count = min(length, round(self.config.fraction / 0.75 * length))
        # Positions are drawn among padding and N too, where nothing changes: the share also holds in shorter sequences.
        index = draw.uniform(length).topk(count, dim=1).indices
        bases = draw.integers(0, 4, count)
        old = view.tokens.gather(1, index)
        return view.with_tokens(view.tokens.scatter(1, index, bases.where(old < alphabet.N, old)))

"""Point substitutions by Kimura's two parameters (1980, J Mol Evol 16:111), with an excess of transitions in CpG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from findna_kit import alphabet
from findna_kit.components import Augmentation, ComponentConfig, Draw, View

if TYPE_CHECKING:
    from torch import Tensor


class Substitution(Augmentation):
    """Replaces bases by other ones, each by itself; N stays N.

    In Kimura's letters a base makes its transition (A with G, C with T) with probability P = rate * R / (1 + R), and its two
    transversions with Q = rate / (1 + R) between them, R being `transition_ratio`. The C and the G of a CpG make their
    transition `cpg_excess` times as often: 5-methylcytosine is deaminated to T, on either strand. A CpG is read in the
    sequence as it stands before.
    """

    class Config(ComponentConfig):
        """How many, and of which kind."""

        rate: float = Field(0.05, ge=0, le=1, description="of each base outside CpG to be replaced by another one")
        transition_ratio: float = Field(
            2.0, ge=0, allow_inf_nan=False, description="transitions for each transversion, outside CpG"
        )
        cpg_excess: float = Field(
            10.0, ge=0, allow_inf_nan=False, description="times as many transitions of the C and the G of a CpG"
        )

        @property
        def transition(self) -> float:
            """P of a base outside CpG."""
            return self.rate * self.transition_ratio / (1 + self.transition_ratio)

        @property
        def transversion(self) -> float:
            """Q, of both together."""
            return self.rate / (1 + self.transition_ratio)

        @model_validator(mode="after")
        def _possible(self) -> Self:
            if (most := self.cpg_excess * self.transition + self.transversion) > 1 + 1e-9:
                raise ValueError(f"a base of a CpG would be replaced with probability {most:.3g}; lower cpg_excess or rate")
            return self

    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """The view with some bases of each sequence replaced."""
        number = draw.uniform(view.tokens.shape[1])
        transition = number.new_full((), self.config.transition)
        transition = (transition * self.config.cpg_excess).where(_in_cpg(view.tokens), transition)
        above, half = number - transition, self.config.transversion / 2
        # A C G T = 0 1 2 3: the transition of t is t ^ 2; its transversions are C and T, or, of an odd t, A and G.
        other = 1 - view.tokens % 2 + 2 * (above >= half)
        changed = (view.tokens ^ 2).where(above < 0, other)
        return view.with_tokens(changed.where((above < 2 * half) & (view.tokens < alphabet.N), view.tokens))


def _in_cpg(tokens: Tensor) -> Tensor:
    """The C and the G of every C that a G follows, [B, L]."""
    pair = (tokens[:, :-1] == alphabet.C) & (tokens[:, 1:] == alphabet.G)
    inside = tokens.new_zeros(tokens.shape, dtype=pair.dtype)
    inside[:, :-1] |= pair
    inside[:, 1:] |= pair
    return inside

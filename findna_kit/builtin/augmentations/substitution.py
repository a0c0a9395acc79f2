"""Point substitutions under Kimura's two-parameter model (1980, J Mol Evol 16:111), with extra transitions in CpG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from findna_kit import alphabet
from findna_kit.components import Augmentation, ComponentConfig, Draw, View

if TYPE_CHECKING:
    from torch import Tensor


class Substitution(Augmentation):
    """Point substitutions, independent for each base; N stays N (Kimura 1980).

    In Kimura's notation a base undergoes its transition (A and G, C and T) with probability P = rate * R / (1 + R), and one of
    its two transversions with probability Q = rate / (1 + R), where R is `transition_ratio`. The C and the G of a CpG undergo
    their transition `cpg_excess` times as often, because 5-methylcytosine is deaminated to T on either strand. CpGs are found
    in the sequence before any substitution.
    """

    class Config(ComponentConfig):
        """Rate and kinds of substitutions."""

        rate: float = Field(0.05, ge=0, le=1, description="probability that a base outside CpG is replaced by another one")
        transition_ratio: float = Field(
            2.0, ge=0, allow_inf_nan=False, description="number of transitions per transversion, outside CpG"
        )
        cpg_excess: float = Field(
            10.0, ge=0, allow_inf_nan=False, description="factor of the transition probability of the C and the G of a CpG"
        )

        @property
        def transition(self) -> float:
            """Return P, the probability of the transition of a base outside CpG."""
            return self.rate * self.transition_ratio / (1 + self.transition_ratio)

        @property
        def transversion(self) -> float:
            """Return Q, the probability of either transversion."""
            return self.rate / (1 + self.transition_ratio)

        @model_validator(mode="after")
        def _possible(self) -> Self:
            if (total := self.cpg_excess * self.transition + self.transversion) > 1 + 1e-9:
                raise ValueError(f"a base of a CpG would be replaced with probability {total:.3g}; lower cpg_excess or rate")
            return self

    config: Config

    def __call__(self, view: View, draw: Draw) -> View:
        """Return the view with some bases of each sequence replaced."""
        number = draw.uniform(view.tokens.shape[1])
        transition = number.new_full((), self.config.transition)
        transition = (transition * self.config.cpg_excess).where(_in_cpg(view.tokens), transition)
        # The number selects the transition below P, the transversions in the next Q, and no change above that.
        excess, half = number - transition, self.config.transversion / 2
        # A C G T = 0 1 2 3: the transition of t is t ^ 2; its transversions are C and T if t is even, A and G if it is odd.
        transversion = 1 - view.tokens % 2 + 2 * (excess >= half)
        changed = (view.tokens ^ 2).where(excess < 0, transversion)
        return view.with_tokens(changed.where((excess < 2 * half) & (view.tokens < alphabet.N), view.tokens))


def _in_cpg(tokens: Tensor) -> Tensor:
    """Return where a base is the C or the G of a CpG, bool [B, L]."""
    pair = (tokens[:, :-1] == alphabet.C) & (tokens[:, 1:] == alphabet.G)
    inside = tokens.new_zeros(tokens.shape, dtype=pair.dtype)
    inside[:, :-1] |= pair
    inside[:, 1:] |= pair
    return inside

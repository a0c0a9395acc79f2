"""Caduceus-PS (Schiff et al. 2024, ICML): both strands through one bidirectional Mamba, equivariant by construction.

The paper splits the channels of every layer in two, gives the layer the first half as it stands and the second half as it is
read from the other strand, and turns that back. Embedding, norm and residual do the same, so that the halves meet in no layer,
and what is turned back after one is turned again before the next. Here it is turned once, and back once at the end: the network
is what `rc: equivariant` makes of `mamba`, under the paper's name and with its width stated whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from findna_kit.components import Encoder
from findna_kit.model.reverse_complement import RCEquivariant
from findna_kit_encoders.mamba import Mamba

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Caduceus(Encoder):
    """For the reverse complement the valid nucleotides' embeddings come in reverse, and the halves of all rows change places.

    Class rows stand before either strand, so each is two vectors that read the strands alike.
    """

    class Config(Mamba.Config):
        """Sizes of the network: Mamba's, of which each strand has half the channels."""

        dim: int = Field(256, gt=0, description="channels of both strands together; even")

        @field_validator("dim")
        @classmethod
        def _even(cls, dim: int) -> int:
            if dim % 2:
                raise ValueError("an even number is wanted: half of the channels are for each strand")
            return dim

    strand = "equivariant"
    examples = ({"dim": 16, "blocks": 2, "state": 4},)

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        half = Mamba.Config(**config.model_dump() | {"dim": config.dim // 2})
        self.shared = RCEquivariant(Mamba(half, length=length, class_tokens=class_tokens), class_tokens)
        self.dim, self.depth = self.shared.dim, self.shared.depth

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Embeddings [B, C + L, dim]; hidden states are those after each block."""
        made: tuple[Tensor, dict[int, Tensor]] = self.shared(bases, valid, layers=layers)
        return made

"""Caduceus-PS (Schiff et al. 2024, ICML): both strands through one bidirectional Mamba, equivariant by construction.

The paper splits the channels of every layer into two halves. A layer is applied to the first half as it is, and to the second
half reversed, and the second result is reversed back. Embedding, norm and residual connection do the same, so the halves are
never mixed, and reversing back after one layer cancels reversing before the next. Here the sequence is therefore reversed once
at the beginning and once at the end. The network equals `mamba` with `rc: equivariant`, under the paper's name and with the
width of both strands in `dim`.
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
    """Caduceus-PS: reverse-complement-equivariant bidirectional Mamba (Schiff 2024).

    For the reverse complement, the embeddings of the valid bases come in reverse order and the two halves of the channels are
    swapped in every row. Class tokens come before the bases on either strand, so each has one vector per strand.
    """

    class Config(Mamba.Config):
        """Sizes of the network, as for `mamba`; each strand has half of the channels."""

        dim: int = Field(256, gt=0, description="channels of both strands together; even")

        @field_validator("dim")
        @classmethod
        def _require_even(cls, dim: int) -> int:
            if dim % 2:
                raise ValueError("must be even, because each strand has half of the channels")
            return dim

    strand = "equivariant"
    examples = ({"dim": 16, "blocks": 2, "state": 4},)

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        half = Mamba.Config(**config.model_dump() | {"dim": config.dim // 2})
        self.shared = RCEquivariant(Mamba(half, length=length, class_tokens=class_tokens), class_tokens)
        self.dim, self.depth = self.shared.dim, self.shared.depth

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Return embeddings [B, C + L, dim] and the requested hidden states, which are the outputs of the blocks."""
        output: tuple[Tensor, dict[int, Tensor]] = self.shared(bases, valid, layers=layers)
        return output

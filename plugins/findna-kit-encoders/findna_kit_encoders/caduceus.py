"""Caduceus-PS (Schiff et al. 2024, ICML): both strands through one bidirectional Mamba, equivariant by construction.

The paper splits the channels of every layer in two, gives the layer the first half as it stands and the second half as it is
read from the other strand, and turns that back. Embedding, norm and residual do the same, so that the halves meet in no layer,
and what is turned back after one is turned again before the next. Here it is turned once, and back once at the end: the network
is what `rc: equivariant` makes of `mamba`, under the paper's name and with its width stated whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field, field_validator
from torch import Tensor

from findna_kit import dna
from findna_kit.interfaces import Encoder
from findna_kit_encoders.mamba import Mamba

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMPLEMENT = [dna.T, dna.G, dna.C, dna.A, dna.N]
"""The channel that holds the complement of each of A C G T N."""


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
        self.dim, self.depth, self.class_tokens = config.dim, config.blocks, class_tokens
        half = Mamba.Config(**config.model_dump() | {"dim": config.dim // 2})
        self.shared = Mamba(half, length=length, class_tokens=class_tokens)

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Embeddings [B, C + L, dim]; hidden states are those after each block."""
        turn = _turn(valid, self.class_tokens)
        both = torch.cat([bases, _rows(bases, turn)[..., _COMPLEMENT]])
        embeddings, hidden = self.shared(both, valid.repeat(2, 1), layers=layers)
        return _joined(embeddings, turn), {layer: _joined(state, turn) for layer, state in hidden.items()}


def _turn(valid: Tensor, classes: int) -> Tensor:
    """Where each row is taken from [B, R]: valid nucleotides in reverse order, class rows and padding from where they are."""
    place = torch.arange(valid.shape[1], device=valid.device)
    nucleotide = valid & (place >= classes)
    return (2 * classes + nucleotide.sum(1, keepdim=True) - 1 - place).where(nucleotide, place)


def _rows(x: Tensor, source: Tensor) -> Tensor:
    return x.gather(1, source[..., None].expand(-1, -1, x.shape[-1]))


def _joined(strands: Tensor, turn: Tensor) -> Tensor:
    """Both strands [2 B, R, D] side by side in the order of the first, [B, R, 2 D]."""
    first, second = strands.chunk(2)
    return torch.cat([first, _rows(second, turn)], dim=-1)

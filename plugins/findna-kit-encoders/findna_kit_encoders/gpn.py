"""GPN's network (Benegas, Batra and Song 2023, PNAS 120(44) e2311219120): residual dilated convolutions over one-hot bases.

A block is `x + norm(gelu(conv(x)))`, then `x + norm(gelu(linear(x)))`, in the order of the authors' released code; nothing is
normed after the last block, and there is no embedding: the bases' channels are widened by zeros. The built-in `dilated_conv`
norms what a block reads instead, which begins better at small sizes. What differs from the release: its vocabulary has a
channel for the mask, where this kit shows a row of zeros; and padding, of which it has none, counts as what is beyond the
end, zero in every block. Its masked head (linear, gelu, norm, linear) belongs to a loss, not here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit import alphabet
from findna_kit.components import ComponentConfig, Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence


class GPN(Encoder):
    """Mixes neighbourhoods: an embedding sees `(kernel - 1) / 2` times the sum of the dilations to either side of its base."""

    class Config(ComponentConfig):
        """Sizes of the network; the paper's are 512 channels and 25 blocks, the rest is the paper's."""

        dim: int = Field(128, ge=alphabet.CHANNELS, description="channels (the paper: 512)")
        blocks: int = Field(6, gt=0, description="residual blocks (the paper: 25); dilations double from 1, and begin again")
        kernel: int = Field(9, gt=0, description="bases that a convolution looks at; odd")
        largest_dilation: int = Field(32, gt=0, description="widest spacing of those bases; a power of 2")

        @field_validator("kernel")
        @classmethod
        def _odd(cls, kernel: int) -> int:
            if kernel % 2 == 0:
                raise ValueError("an odd number is wanted, so that a base stands in the middle")
            return kernel

        @field_validator("largest_dilation")
        @classmethod
        def _power(cls, largest: int) -> int:
            if largest & (largest - 1):
                raise ValueError("a power of 2 is wanted: dilations double from 1")
            return largest

        @property
        def dilations(self) -> list[int]:
            """Of each block: 1, 2, 4, ... up to the largest, and from 1 again."""
            cycle = self.largest_dilation.bit_length()
            return [2 ** (block % cycle) for block in range(self.blocks)]

    examples = (
        {"dim": 16, "blocks": 2},
        {"dim": 8, "blocks": 3, "kernel": 3, "largest_dilation": 2},
    )
    global_mixing = False

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim, self.depth = config.dim, config.blocks
        self.blocks = nn.ModuleList(_Block(config.dim, config.kernel, dilation) for dilation in config.dilations)

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Embeddings [B, L, dim]; hidden states are those after each block."""
        x, hidden = F.pad(bases, (0, self.dim - bases.shape[-1])), {}
        padding = ~valid[..., None]
        for depth, block in enumerate(self.blocks):
            x = block(x, padding)
            if depth in layers:
                hidden[depth] = x
        return x, hidden


class _Block(nn.Module):
    def __init__(self, dim: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, kernel, dilation=dilation, padding="same")
        self.conv_norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim, dim)
        self.linear_norm = nn.LayerNorm(dim)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        seen = x.masked_fill(padding, 0)
        x = x + self.conv_norm(F.gelu(self.conv(seen.transpose(1, 2))).transpose(1, 2))
        updated: Tensor = x + self.linear_norm(F.gelu(self.linear(x)))
        return updated

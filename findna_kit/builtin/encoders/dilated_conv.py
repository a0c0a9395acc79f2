"""Residual dilated convolutions, after GPN (Benegas, Batra and Song 2023, PNAS 120(44) e2311219120).

A block is `x + gelu(conv(norm(x)))`, then `x + mlp(norm(x))`. GPN normalises the updates instead. At our sizes the masked loss
then begins at twice the bits per base of a uniform guess, and pooled embeddings stay nearly constant.
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


class DilatedConv(Encoder):
    """Residual dilated convolutions (after GPN, Benegas 2023).

    The receptive field extends `(kernel - 1) / 2` times the sum of the dilations to each side.
    """

    class Config(ComponentConfig):
        """Sizes of the network."""

        dim: int = Field(128, gt=0, description="channels")
        hidden: int = Field(256, gt=0, description="width inside each block's MLP")
        blocks: int = Field(6, gt=0, description="residual blocks, with dilations 1, 2, 4, ..., and after the largest 1 again")
        kernel: int = Field(9, gt=0, description="width of the convolution in bases; odd")
        largest_dilation: int = Field(32, gt=0, description="largest dilation; a power of 2")
        dropout: float = Field(0.0, ge=0, lt=1, description="share of each update dropped")

        @field_validator("kernel")
        @classmethod
        def _odd(cls, kernel: int) -> int:
            """Require an odd kernel."""
            if kernel % 2 == 0:
                raise ValueError("must be odd, so that the kernel has a central base")
            return kernel

        @field_validator("largest_dilation")
        @classmethod
        def _power(cls, largest: int) -> int:
            """Require a power of 2."""
            if largest & (largest - 1):
                raise ValueError("must be a power of 2: dilations double from 1")
            return largest

        @property
        def dilations(self) -> list[int]:
            """Return the dilation of each block."""
            cycle = self.largest_dilation.bit_length()
            return [2 ** (block % cycle) for block in range(self.blocks)]

    examples = ({"dim": 12, "hidden": 16, "blocks": 3, "kernel": 5, "dropout": 0.1},)
    global_mixing = False

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim, self.depth = config.dim, config.blocks
        self.embed = nn.Linear(alphabet.CHANNELS, config.dim)
        self.blocks = nn.ModuleList(_DilatedBlock(config, dilation) for dilation in config.dilations)
        # Pre-norm blocks leave the scale of their sum open, so the output is normalised once more.
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Return embeddings [B, L, dim] and the hidden states after the blocks in `layers`."""
        # Class embeddings come from attention pooling, so there are no class tokens here: every row is a nucleotide.
        x, hidden = self.embed(bases), {}
        padding = ~valid[..., None]
        for depth, block in enumerate(self.blocks):
            x = block(x, padding)
            if depth in layers:
                hidden[depth] = x
        return self.norm(x), hidden


class _DilatedBlock(nn.Module):
    """A dilated convolution and an MLP, both residual and pre-norm, [B, L, dim] to the same."""

    def __init__(self, config: DilatedConv.Config, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.dim)
        self.conv = nn.Conv1d(config.dim, config.dim, config.kernel, dilation=dilation, padding="same")
        self.mlp = nn.Sequential(
            nn.LayerNorm(config.dim), nn.Linear(config.dim, config.hidden), nn.GELU(), nn.Linear(config.hidden, config.dim)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        """Apply the block. padding: [B, L, 1] bool, True on padding."""
        # `same` pads with zeros at both ends; padding must look the same, or it would change the valid positions.
        # Filled after the norm, because the bias of the norm would make other numbers of zeros.
        masked = self.norm(x).masked_fill(padding, 0)
        x = x + self.dropout(F.gelu(self.conv(masked.transpose(1, 2)).transpose(1, 2)))
        # The MLP works on single positions, so padding reaches no other position here.
        updated: Tensor = x + self.dropout(self.mlp(x))
        return updated

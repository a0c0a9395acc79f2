"""A small convolutional encoder: residual depthwise-separable blocks (Chollet 2017, Xception; Liu et al. 2022, ConvNeXt)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator
from torch import Tensor, nn

from findna_kit import alphabet
from findna_kit.components import ComponentConfig, Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence


class DepthwiseConv(Encoder):
    """Residual depthwise-separable convolutions with a receptive field of `blocks * (kernel - 1) + 1` bases (Chollet 2017)."""

    class Config(ComponentConfig):
        """Sizes of the network."""

        dim: int = Field(64, gt=0, description="channels")
        hidden: int = Field(128, gt=0, description="width inside a block")
        blocks: int = Field(4, gt=0, description="residual blocks")
        kernel: int = Field(9, gt=0, description="kernel size of each convolution, in bases; odd")
        dropout: float = Field(0.0, ge=0, lt=1, description="dropout of each update")

        @field_validator("kernel")
        @classmethod
        def _require_odd(cls, kernel: int) -> int:
            if kernel % 2 == 0:
                raise ValueError("must be odd, so that the kernel is centred on a position")
            return kernel

    examples = ({"dim": 12, "hidden": 16, "blocks": 2, "kernel": 5, "dropout": 0.1},)
    global_mixing = False
    """The receptive field is local, so there are no class tokens. The kit computes class embeddings by attention pooling."""

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim, self.depth = config.dim, config.blocks
        self.embed = nn.Linear(alphabet.CHANNELS, config.dim)
        self.blocks = nn.ModuleList(_SeparableBlock(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Return embeddings [B, L, dim] and the requested hidden states, which are the outputs of the blocks."""
        x, hidden = self.embed(bases), {}
        for depth, block in enumerate(self.blocks):
            x = block(x, valid)
            if depth in layers:
                hidden[depth] = x
        return self.norm(x), hidden


class _SeparableBlock(nn.Module):
    """`x + W2 gelu(W1 norm(depthwise(x)))`; [B, L, dim] to the same shape."""

    def __init__(self, config: DepthwiseConv.Config) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(config.dim, config.dim, config.kernel, padding="same", groups=config.dim)
        self.norm = nn.LayerNorm(config.dim)
        self.pointwise = nn.Sequential(
            nn.Linear(config.dim, config.hidden), nn.GELU(), nn.Linear(config.hidden, config.dim), nn.Dropout(config.dropout)
        )

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        # `padding="same"` reads zeros beyond the end. With zeros in the padding too, it cannot influence valid positions.
        unpadded = x.masked_fill(~valid[..., None], 0)
        mixed = self.depthwise(unpadded.transpose(1, 2)).transpose(1, 2)
        updated: Tensor = x + self.pointwise(self.norm(mixed))
        return updated

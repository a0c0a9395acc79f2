"""ConvNeXt (Liu, Mao, Wu, Feichtenhofer, Darrell and Xie 2022, CVPR; arXiv 2201.03545) along a sequence.

A block is `x + scale * W2 gelu(W1 norm(depthwise(x)))` (their figure 4), the depthwise convolution 7 bases wide and W1 four
times wider than x. Their stem and the steps between their stages shrink an image; here every base keeps its row: the stem is
linear, with the norm that theirs has, and all blocks are of one width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit import alphabet
from findna_kit.components import ComponentConfig, Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPSILON = 1e-6
"""Of every norm, as the authors have it."""


class ConvNeXt(Encoder):
    """Depthwise convolutions and wide pointwise layers: an embedding sees `blocks * (kernel - 1) / 2` bases to either side."""

    class Config(ComponentConfig):
        """Sizes of the network."""

        dim: int = Field(128, gt=0, description="channels (the paper's smallest network: 96 to 768)")
        blocks: int = Field(6, gt=0, description="residual blocks (the paper's smallest network: 18)")
        kernel: int = Field(7, gt=0, description="bases that a block's convolution spans; odd")
        expansion: int = Field(4, gt=0, description="width inside a block, in multiples of dim")
        layer_scale: float = Field(1e-6, gt=0, description="what each channel of an update is multiplied by at first; learned")
        stochastic_depth: float = Field(
            0.0, ge=0, lt=1, description="share of sequences that skip the last block, and of earlier ones in proportion"
        )

        @field_validator("kernel")
        @classmethod
        def _odd(cls, kernel: int) -> int:
            if kernel % 2 == 0:
                raise ValueError("an odd number is wanted, so that a base stands in the middle")
            return kernel

        @property
        def skipped(self) -> list[float]:
            """Share of sequences that skip each block: from 0 up to `stochastic_depth`, in equal steps."""
            return [self.stochastic_depth * block / max(1, self.blocks - 1) for block in range(self.blocks)]

    examples = (
        {"dim": 16, "blocks": 2},
        {"dim": 8, "blocks": 3, "kernel": 3, "expansion": 2, "layer_scale": 0.1, "stochastic_depth": 0.2},
    )
    global_mixing = False

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim, self.depth = config.dim, config.blocks
        self.embed = nn.Linear(alphabet.CHANNELS, config.dim)
        self.embed_norm = nn.LayerNorm(config.dim, eps=_EPSILON)
        self.blocks = nn.ModuleList(_Block(config, skipped) for skipped in config.skipped)
        self.norm = nn.LayerNorm(config.dim, eps=_EPSILON)
        # Not the stem: a masked base is a row of zeros, which without a bias would stay one.
        self.blocks.apply(_draw)

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Embeddings [B, L, dim]; hidden states are those after each block."""
        x, hidden = self.embed_norm(self.embed(bases)), {}
        padding = ~valid[..., None]
        for depth, block in enumerate(self.blocks):
            x = block(x, padding)
            if depth in layers:
                hidden[depth] = x
        return self.norm(x), hidden


class _Block(nn.Module):
    def __init__(self, config: ConvNeXt.Config, skipped: float) -> None:
        super().__init__()
        self.skipped = skipped
        self.depthwise = nn.Conv1d(config.dim, config.dim, config.kernel, padding="same", groups=config.dim)
        self.norm = nn.LayerNorm(config.dim, eps=_EPSILON)
        self.wide = nn.Linear(config.dim, config.expansion * config.dim)
        self.narrow = nn.Linear(config.expansion * config.dim, config.dim)
        self.scale = nn.Parameter(torch.full((config.dim,), config.layer_scale))

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        # `same` sets zeros beyond both ends, and padding looks like what is beyond.
        seen = x.masked_fill(padding, 0).transpose(1, 2)
        update = self.scale * self.narrow(F.gelu(self.wide(self.norm(self.depthwise(seen).transpose(1, 2)))))
        if self.skipped and self.training:
            # Dropout of one number for a sequence: what is kept is scaled up, so that its expectation stays.
            update = update * F.dropout(update.new_ones(len(update), 1, 1), self.skipped)
        updated: Tensor = x + update
        return updated


def _draw(module: nn.Module) -> None:
    """The authors' initial weights: normal, of deviation 0.02, and no bias."""
    if isinstance(module, nn.Linear | nn.Conv1d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

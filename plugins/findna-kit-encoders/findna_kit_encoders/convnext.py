"""ConvNeXt (Liu, Mao, Wu, Feichtenhofer, Darrell and Xie 2022, CVPR; arXiv 2201.03545) for sequences.

A block is `x + scale * W2 gelu(W1 norm(depthwise(x)))` (figure 4 of the paper). The depthwise convolution spans 7 bases, and W1
widens x four times. The stem of the paper and the layers between its stages reduce the resolution of an image. Here every base
keeps its position: the stem is a linear layer followed by the paper's norm, and all blocks have one width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit import alphabet
from findna_kit.components import ComponentConfig, Encoder
from findna_kit_encoders.residual import OddKernel, convolve_valid, run_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPSILON = 1e-6
"""Epsilon of every LayerNorm, as in the authors' code."""


class ConvNeXt(Encoder):
    """ConvNeXt: depthwise convolutions and wide pointwise layers (Liu 2022).

    The receptive field reaches `blocks * (kernel - 1) / 2` bases to either side of a base.
    """

    class Config(ComponentConfig):
        """Sizes of the network."""

        dim: int = Field(128, gt=0, description="channels (the paper's smallest network: 96 to 768)")
        blocks: int = Field(6, gt=0, description="residual blocks (the paper's smallest network: 18)")
        kernel: OddKernel = Field(7, gt=0, description="kernel size of each convolution, in bases; odd")
        expansion: int = Field(4, gt=0, description="width inside a block, in multiples of dim")
        layer_scale: float = Field(1e-6, gt=0, description="initial value of the learned factor of each channel of an update")
        stochastic_depth: float = Field(
            0.0,
            ge=0,
            lt=1,
            description="share of sequences that skip the last block in training; earlier ones are skipped less, linearly",
        )

        @property
        def skip_rates(self) -> list[float]:
            """Return the share of sequences that skip each block: from 0 up to `stochastic_depth`, in equal steps."""
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
        self.blocks = nn.ModuleList(_ConvNeXtBlock(config, skip_rate) for skip_rate in config.skip_rates)
        self.norm = nn.LayerNorm(config.dim, eps=_EPSILON)
        # The stem keeps torch's initialisation: a masked base is a row of zeros, and stays zero under a stem without bias.
        self.blocks.apply(_initialise)

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Return embeddings [B, L, dim] and the requested hidden states, which are the outputs of the blocks."""
        x, hidden = run_blocks(self.blocks, self.embed_norm(self.embed(bases)), ~valid[..., None], layers)
        return self.norm(x), hidden


class _ConvNeXtBlock(nn.Module):
    """`x + scale * W2 gelu(W1 norm(depthwise(x)))`; [B, L, dim] to the same shape."""

    def __init__(self, config: ConvNeXt.Config, skip_rate: float) -> None:
        super().__init__()
        self.skip_rate = skip_rate
        self.depthwise = nn.Conv1d(config.dim, config.dim, config.kernel, padding="same", groups=config.dim)
        self.norm = nn.LayerNorm(config.dim, eps=_EPSILON)
        self.wide = nn.Linear(config.dim, config.expansion * config.dim)
        self.narrow = nn.Linear(config.expansion * config.dim, config.dim)
        self.scale = nn.Parameter(torch.full((config.dim,), config.layer_scale))

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        mixed = convolve_valid(self.depthwise, x, padding).transpose(1, 2)
        update = self.scale * self.narrow(F.gelu(self.wide(self.norm(mixed))))
        if self.skip_rate and self.training:
            # Stochastic depth is dropout of one factor per sequence. Dropout scales the others up, which keeps the expectation.
            update = update * F.dropout(update.new_ones(len(update), 1, 1), self.skip_rate)
        updated: Tensor = x + update
        return updated


def _initialise(module: nn.Module) -> None:
    """Initialise a layer as the authors do: weights from a truncated normal distribution of std 0.02, biases 0."""
    if isinstance(module, nn.Linear | nn.Conv1d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

"""A small pre-norm Transformer encoder (Vaswani et al. 2017) with rotary positions (Su et al. 2021, RoFormer)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from findna_kit import alphabet
from findna_kit.builtin.encoders.attention import (
    AttentionBlock,
    AttentionConfig,
    attention_weights,
    is_unpadded,
    run_blocks,
)
from findna_kit.components import Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence


class Transformer(Encoder):
    """Pre-norm Transformer encoder with rotary positions (Vaswani 2017, Su 2021).

    Attention is over all positions. Sequences may not be longer than the training windows.
    """

    class Config(AttentionConfig):
        """Sizes of the network."""

    examples = ({"dim": 16, "hidden": 32, "blocks": 2, "heads": 2, "dropout": 0.1},)

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim, self.depth, self.max_length = config.dim, config.blocks, length - class_tokens
        self.embed = nn.Linear(alphabet.CHANNELS, config.dim)
        # Class tokens arrive as zeros; each gets a learned vector, with the initial scale of BERT.
        self.class_vectors = nn.Parameter(0.02 * torch.randn(class_tokens, config.dim))
        self.blocks = nn.ModuleList(AttentionBlock(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Return embeddings [B, C + L, dim] and the hidden states after the blocks in `layers`."""
        x, hidden = run_blocks(self.blocks, self._rows(bases), None if is_unpadded(valid) else valid, layers)
        return self.norm(x), hidden

    def attention(self, bases: Tensor, valid: Tensor, *, layer: int) -> Tensor:
        """Return the attention weights [B, heads, C + L, C + L] of a block."""
        return attention_weights(self.blocks, self._rows(bases), None if is_unpadded(valid) else valid, layer)

    def _rows(self, bases: Tensor) -> Tensor:
        """Return the input of the first block, [B, C + L, dim]."""
        x = self.embed(bases)
        classes = len(self.class_vectors)
        # Cast, because under autocast one fp32 term would make all of x fp32.
        return torch.cat([x[:, :classes] + self.class_vectors.to(x.dtype), x[:, classes:]], dim=1)

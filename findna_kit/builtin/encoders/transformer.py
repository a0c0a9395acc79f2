"""A small Transformer encoder (Vaswani et al. 2017) with rotary positions (Su et al. 2021, RoFormer), pre-norm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from einops import rearrange
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit import alphabet
from findna_kit.components import ComponentConfig, Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence


class Transformer(Encoder):
    """Attention over all rows. Trained on one length, it is not asked for more: `max_length` is the training window's."""

    class Config(ComponentConfig):
        """Sizes of the Transformer."""

        dim: int = Field(128, gt=0, description="channels")
        hidden: int = Field(512, gt=0, description="width of the feed-forward layers")
        blocks: int = Field(4, gt=0, description="attention and feed-forward pairs")
        heads: int = Field(4, gt=0, description="attention heads; dim / heads must be even")
        dropout: float = Field(0.0, ge=0, lt=1, description="share of each update dropped")

        @model_validator(mode="after")
        def _even(self) -> Self:
            if self.dim % (2 * self.heads):
                raise ValueError(f"dim {self.dim} is not an even multiple of heads {self.heads}")
            return self

    examples = ({"dim": 16, "hidden": 32, "blocks": 2, "heads": 2, "dropout": 0.1},)

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim, self.depth, self.max_length = config.dim, config.blocks, length - class_tokens
        self.head_dim = config.dim // config.heads
        self.embed = nn.Linear(alphabet.CHANNELS, config.dim)
        self.class_vectors = nn.Parameter(0.02 * torch.randn(class_tokens, config.dim))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Embeddings [B, C + L, dim]; hidden states are those after each block."""
        x = self.embed(bases)
        classes = len(self.class_vectors)
        x = torch.cat([x[:, :classes] + self.class_vectors.to(x.dtype), x[:, classes:]], dim=1)
        # Unless a graph is made for export, which is for every padding.
        unpadded = not torch.compiler.is_exporting() and bool(valid.all())
        mask = None if unpadded else valid[:, None, None, :]
        turn = _rotation(x.shape[1], self.head_dim, x.device)
        hidden = {}
        for depth, block in enumerate(self.blocks):
            x = block(x, mask, turn)
            if depth in layers:
                hidden[depth] = x
        normed: Tensor = self.norm(x)
        return normed, hidden


class _Block(nn.Module):
    def __init__(self, config: Transformer.Config) -> None:
        super().__init__()
        self.heads, self.head_dim = config.heads, config.dim // config.heads
        self.attention_norm = nn.LayerNorm(config.dim)
        self.qkv = nn.Linear(config.dim, 3 * config.dim)
        self.out = nn.Linear(config.dim, config.dim)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(config.dim), nn.Linear(config.dim, config.hidden), nn.GELU(), nn.Linear(config.hidden, config.dim)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None, turn: tuple[Tensor, Tensor]) -> Tensor:
        q, k, v = rearrange(self.qkv(self.attention_norm(x)), "b r (three h d) -> three b h r d", three=3, h=self.heads)
        mixed = F.scaled_dot_product_attention(_rotate(q, turn), _rotate(k, turn), v, attn_mask=mask)
        x = x + self.dropout(self.out(rearrange(mixed, "b h r d -> b r (h d)")))
        updated: Tensor = x + self.dropout(self.feed_forward(x))
        return updated


def _rotation(rows: int, dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine [rows, dim / 2] of position times 10000^(-2i / dim)."""
    frequency = 10000.0 ** (-torch.arange(0, dim, 2, device=device) / dim)
    angle = torch.arange(rows, device=device)[:, None] * frequency
    return angle.cos(), angle.sin()


def _rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    cosine, sine = (part.to(x.dtype) for part in turn)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], dim=-1)

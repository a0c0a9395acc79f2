"""A small pre-norm Transformer encoder (Vaswani et al. 2017) with rotary positions (Su et al. 2021, RoFormer)."""

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
    """Pre-norm Transformer encoder with rotary positions (Vaswani 2017, Su 2021).

    Attention is over all positions. Sequences may not be longer than the training windows.
    """

    class Config(ComponentConfig):
        """Sizes of the network."""

        dim: int = Field(128, gt=0, description="channels")
        hidden: int = Field(512, gt=0, description="width of the feed-forward layers")
        blocks: int = Field(4, gt=0, description="blocks, each of attention and a feed-forward network")
        heads: int = Field(4, gt=0, description="attention heads; dim must be an even multiple of them")
        dropout: float = Field(0.0, ge=0, lt=1, description="share of each update dropped")

        @model_validator(mode="after")
        def _even(self) -> Self:
            """Require an even number of channels per head, which the rotation pairs."""
            if self.dim % (2 * self.heads):
                raise ValueError(f"dim {self.dim} is not an even multiple of heads {self.heads}")
            return self

    examples = ({"dim": 16, "hidden": 32, "blocks": 2, "heads": 2, "dropout": 0.1},)

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim, self.depth, self.max_length = config.dim, config.blocks, length - class_tokens
        self.head_dim = config.dim // config.heads
        self.embed = nn.Linear(alphabet.CHANNELS, config.dim)
        # Class rows arrive as zeros; each gets a learned vector, with the initial scale of BERT.
        self.class_vectors = nn.Parameter(0.02 * torch.randn(class_tokens, config.dim))
        self.blocks = nn.ModuleList(_AttentionBlock(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Return embeddings [B, C + L, dim] and the hidden states after the blocks in `layers`."""
        x = self.embed(bases)
        classes = len(self.class_vectors)
        # Cast, because under autocast one fp32 term would make all of x fp32.
        x = torch.cat([x[:, :classes] + self.class_vectors.to(x.dtype), x[:, classes:]], dim=1)
        # Without padding no mask is needed, which is faster. An exported graph serves every padding, so it always has the mask.
        unpadded = not torch.compiler.is_exporting() and bool(valid.all())
        # Only keys are masked. A query on padding attends to valid positions, so no softmax is over nothing, which gives NaN.
        mask = None if unpadded else valid[:, None, None, :]
        rotation = _rotation(x.shape[1], self.head_dim, x.device)
        hidden = {}
        for depth, block in enumerate(self.blocks):
            x = block(x, mask, rotation)
            if depth in layers:
                hidden[depth] = x
        normed: Tensor = self.norm(x)
        return normed, hidden


class _AttentionBlock(nn.Module):
    """Attention and a feed-forward network, both residual and pre-norm, [B, R, dim] to the same."""

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

    def forward(self, x: Tensor, mask: Tensor | None, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """Apply the block. mask: [B, 1, 1, R] bool, True where attention is allowed, or None for everywhere."""
        q, k, v = rearrange(self.qkv(self.attention_norm(x)), "b r (three h d) -> three b h r d", three=3, h=self.heads)
        # Rotating queries and keys makes their product depend on relative positions only.
        mixed = F.scaled_dot_product_attention(_rotate(q, rotation), _rotate(k, rotation), v, attn_mask=mask)
        x = x + self.dropout(self.out(rearrange(mixed, "b h r d -> b r (h d)")))
        updated: Tensor = x + self.dropout(self.feed_forward(x))
        return updated


def _rotation(positions: int, dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosine and sine, both [positions, dim / 2], of position times 10000^(-2i / dim)."""
    frequency = 10000.0 ** (-torch.arange(0, dim, 2, device=device) / dim)
    angle = torch.arange(positions, device=device)[:, None] * frequency
    return angle.cos(), angle.sin()


def _rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate queries or keys [B, heads, positions, dim]: channel i is paired with channel i + dim / 2."""
    # Computed in fp32 above and rounded here: in bf16 the angles of distant positions would be wrong.
    cosine, sine = (values.to(x.dtype) for values in rotation)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)

"""Pre-norm attention blocks with rotary positions, which the Transformer encoders share (Vaswani 2017, Su 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from einops import rearrange
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit.components import ComponentConfig

if TYPE_CHECKING:
    from collections.abc import Sequence


class AttentionConfig(ComponentConfig):
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


class AttentionBlock(nn.Module):
    """Attention and a feed-forward network, both residual and pre-norm, [B, R, dim] to the same."""

    def __init__(self, config: AttentionConfig) -> None:
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
        q, k, v = self._projections(x, rotation)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.dropout(self.out(rearrange(mixed, "b h r d -> b r (h d)")))
        updated: Tensor = x + self.dropout(self.feed_forward(x))
        return updated

    def weights(self, x: Tensor, mask: Tensor | None, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """Return the attention weights [B, heads, R, R] that `forward` uses; the fused function does not return them."""
        q, k, _ = self._projections(x, rotation)
        # In fp32, because in bf16 the weights of long sequences would not add up to 1.
        scores = (q @ k.mT).float() * self.head_dim**-0.5
        weights: Tensor = (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(-1)
        return weights

    def _projections(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each [B, heads, R, head_dim]."""
        q, k, v = rearrange(self.qkv(self.attention_norm(x)), "b r (three h d) -> three b h r d", three=3, h=self.heads)
        # Rotating queries and keys makes their product depend on relative positions only.
        return rotate(q, rotation), rotate(k, rotation), v


def is_unpadded(valid: Tensor) -> bool:
    """Return whether a batch with the mask `valid` [B, R] has no padding; False for an exported graph, which serves any."""
    return not torch.compiler.is_exporting() and bool(valid.all())


def run_blocks(
    blocks: nn.ModuleList, x: Tensor, valid: Tensor | None, layers: Sequence[int]
) -> tuple[Tensor, dict[int, Tensor]]:  # fmt: skip
    """Apply attention blocks to x [B, R, dim]; return the result and the hidden states after the blocks in `layers`.

    valid: [B, R] bool, False on padding; None if there is no padding, which is faster.
    """
    # Only keys are masked. A query on padding attends to valid positions, so no softmax is over nothing, which gives NaN.
    mask = None if valid is None else valid[:, None, None, :]
    turn, hidden = rotation(x.shape[1], blocks[0].head_dim, x.device), {}  # type: ignore[arg-type]
    for depth, block in enumerate(blocks):
        x = block(x, mask, turn)
        if depth in layers:
            hidden[depth] = x
    return x, hidden


def attention_weights(blocks: nn.ModuleList, x: Tensor, valid: Tensor | None, layer: int) -> Tensor:
    """Return the attention weights [B, heads, R, R] of the block `layer`; the other arguments are those of `run_blocks`."""
    mask = None if valid is None else valid[:, None, None, :]
    turn = rotation(x.shape[1], blocks[0].head_dim, x.device)  # type: ignore[arg-type]
    for block in blocks[:layer]:
        x = block(x, mask, turn)
    weights: Tensor = blocks[layer].weights(x, mask, turn)  # type: ignore[operator]
    return weights


def rotation(positions: int, dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosine and sine, both [positions, dim / 2], of position times 10000^(-2i / dim)."""
    frequency = 10000.0 ** (-torch.arange(0, dim, 2, device=device) / dim)
    angle = torch.arange(positions, device=device)[:, None] * frequency
    return angle.cos(), angle.sin()


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate queries or keys [B, heads, positions, dim]: channel i is paired with channel i + dim / 2."""
    # Computed in fp32 above and rounded here: in bf16 the angles of distant positions would be wrong.
    cosine, sine = (values.to(x.dtype) for values in rotation)
    if torch.compiler.is_compiling():  # the compiler fuses the formula
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
    turned: Tensor = _Rotate.apply(x, cosine, sine)  # type: ignore[no-untyped-call]
    return turned


class _Rotate(torch.autograd.Function):
    """The rotation with fewer copies than autograd makes of its formula, to the same bits: 10 % of a training step on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Return x rotated by the angles of `cosine` and `sine`."""
        ctx.save_for_backward(cosine, sine)
        return _rotated(x, cosine, sine)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of x: the inverse of a rotation is the rotation by the opposite angle."""
        cosine, sine = ctx.saved_tensors
        return _rotated(gradient, cosine, -sine), None, None


def _rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Return the rotation of x [..., dim], each half written to its place."""
    result = x.new_empty(x.shape)
    first, second = x.chunk(2, dim=-1)
    upper, lower = result.chunk(2, dim=-1)
    torch.mul(first, cosine, out=upper).sub_(second * sine)
    torch.mul(first, sine, out=lower).add_(second * cosine)
    return result

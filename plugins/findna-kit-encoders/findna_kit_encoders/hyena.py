"""Hyena (Poli et al. 2023, ICML; Nguyen et al. 2023, HyenaDNA), read from both sides: gates and implicit long convolutions.

A filter is a function of the offset between two rows, made by a small network, and reaches to either side of a row:

    z_1 = v,    z_(n+1) = x_n (h_n * z_n),    y = z_(N+1)

with v, x_1 .. x_N made of the input, row by row and by a short convolution (definition 3.1; the authors' code leaves out the
first filter). To what a filter gives, each channel adds a share of the row itself. Long convolutions are products of FFTs.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from findna_kit import alphabet
from findna_kit.components import ComponentConfig, Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

_FALLEN = math.log(100)
"""A window's reach is where it has fallen to one hundredth."""


class Hyena(Encoder):
    """Mixes all rows in O(L log L), class rows among them, which have vectors of their own.

    Filters are learned for the offsets of the training window and would be guesses beyond: `max_length` is its length.
    """

    class Config(ComponentConfig):
        """Sizes of the network."""

        dim: int = Field(128, gt=0, description="channels")
        hidden: int = Field(256, gt=0, description="width inside each block's MLP")
        blocks: int = Field(4, gt=0, description="residual blocks")
        order: int = Field(2, ge=1, le=8, description="long convolutions, each followed by a gate, of a block")
        kernel: int = Field(3, gt=0, description="rows that the short convolution looks at; odd")
        bands: int = Field(16, gt=0, description="frequencies of the offset that filters are made of")
        filter_hidden: int = Field(64, gt=0, description="width of the network that makes the filters")
        frequency: float = Field(1.0, gt=0, description="of that network's sines; at 10, small networks have not learned")
        shortest_reach: float = Field(
            0.3, gt=0, description="share of the training length within which the window falls to 0.01, of the first channel"
        )
        longest_reach: float = Field(1.5, gt=0, description="the same, of the last channel")
        dropout: float = Field(0.0, ge=0, lt=1, description="share of each update dropped")

        @field_validator("kernel")
        @classmethod
        def _odd(cls, kernel: int) -> int:
            if kernel % 2 == 0:
                raise ValueError("an odd number is wanted, so that a row stands in the middle")
            return kernel

    examples = (
        {"dim": 12, "hidden": 16, "blocks": 2, "bands": 4, "filter_hidden": 8},
        {"dim": 8, "hidden": 8, "blocks": 1, "order": 3, "kernel": 1, "bands": 2, "filter_hidden": 8},
    )

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim, self.depth, self.max_length = config.dim, config.blocks, length - class_tokens
        self.embed = nn.Linear(alphabet.CHANNELS, config.dim)
        self.class_vectors = nn.Parameter(0.02 * torch.randn(class_tokens, config.dim))
        self.blocks = nn.ModuleList(_Block(config, length) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Embeddings [B, C + L, dim]; hidden states are those after each block."""
        x, hidden = self.embed(bases), {}
        classes = len(self.class_vectors)
        x = torch.cat([x[:, :classes] + self.class_vectors.to(x.dtype), x[:, classes:]], dim=1)
        for depth, block in enumerate(self.blocks):
            x = block(x, valid)
            if depth in layers:
                hidden[depth] = x
        normed: Tensor = self.norm(x)
        return normed, hidden


class _Block(nn.Module):
    """`x + operator(norm(x))`, then `x + mlp(norm(x))`."""

    def __init__(self, config: Hyena.Config, length: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.dim)
        self.operator = _Operator(config, length)
        self.mlp = nn.Sequential(
            nn.LayerNorm(config.dim), nn.Linear(config.dim, config.hidden), nn.GELU(), nn.Linear(config.hidden, config.dim)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        x = x + self.dropout(self.operator(self.norm(x), valid))
        updated: Tensor = x + self.dropout(self.mlp(x))
        return updated


class _Operator(nn.Module):
    """Hyena's operator, [B, R, dim] to the same. Before every convolution what is not valid is zero, as what lies beyond."""

    def __init__(self, config: Hyena.Config, length: int) -> None:
        super().__init__()
        wide = (config.order + 1) * config.dim
        self.order = config.order
        self.enter = nn.Linear(config.dim, wide)
        self.short = nn.Conv1d(wide, wide, config.kernel, padding="same", groups=wide)
        self.filters = _Filters(config, length)
        # What a smooth filter cannot single out: the row itself.
        self.own = nn.Parameter(torch.randn(config.order, config.dim, 1))
        self.leave = nn.Linear(config.dim, config.dim)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        padding = ~valid[:, None]
        parts = self.short(self.enter(x).transpose(1, 2).masked_fill(padding, 0))
        z, *gates = parts.to(torch.promote_types(parts.dtype, torch.float32)).chunk(self.order + 1, dim=1)
        size = _fast_size(2 * x.shape[1] - 1)
        for gate, long, own in zip(gates, self.filters(size), self.own, strict=True):
            z = z.masked_fill(padding, 0)
            z = gate * (_convolve(z, long) + own * z)
        left: Tensor = self.leave(z.transpose(1, 2))
        return left


class _Filters(nn.Module):
    """The filters of a block: a network with sines of the offset, under windows that fall exponentially to either side.

    Offsets are counted in training lengths T, so that a filter stays what it is whatever the length of the batch. Its features
    are the offset, and its cosines and sines of period 2 T, 2 T / 2, 2 T / 3, ...: offsets run from -T to T.
    """

    def __init__(self, config: Hyena.Config, length: int) -> None:
        super().__init__()
        self.length, self.bands, self.frequency = length, config.bands, config.frequency
        self.shape = (config.order, config.dim)
        self.reaches = (config.shortest_reach, config.longest_reach)
        widths = [2 * config.bands + 1, *[config.filter_hidden] * 3]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.last = nn.Linear(config.filter_hidden, config.order * config.dim, bias=False)

    def forward(self, size: int) -> Tensor:
        """[order, dim, size], a circle: offset 0, 1, 2, ... from the front and -1, -2, ... from the back."""
        weight = self.last.weight
        offset = torch.fft.fftfreq(size, 1 / size, device=weight.device, dtype=weight.dtype) / self.length
        with torch.autocast(weight.device.type, enabled=False):
            made = self._features(offset)
            for layer in self.layers:
                made = torch.sin(self.frequency * layer(made))
            made = self.last(made).T.unflatten(0, self.shape)
        short, long = (_FALLEN / reach for reach in self.reaches)
        fall = torch.linspace(short, long, self.shape[1], device=weight.device, dtype=weight.dtype)[:, None]
        # White noise convolved with a window of this height keeps its variance.
        window = (-fall * offset.abs()).exp() * (fall / self.length).sqrt()
        filters: Tensor = made * window
        return filters

    def _features(self, offset: Tensor) -> Tensor:
        angle = offset[:, None] * math.pi * torch.arange(1, self.bands + 1, device=offset.device)
        return torch.cat([offset[:, None], angle.cos(), angle.sin()], dim=1)


def _convolve(z: Tensor, circle: Tensor) -> Tensor:
    """`sum_s h(t - s) z(s)` for every t. z [B, D, R]; circle [D, size], where no two offsets of R rows meet."""
    size = circle.shape[-1]
    product = torch.fft.rfft(z, n=size) * torch.fft.rfft(circle)
    whole: Tensor = torch.fft.irfft(product, n=size)
    return whole[..., : z.shape[-1]]


def _fast_size(least: int) -> int:
    """The smallest of 2^k, 3 2^k and 5 2^k that is no less: sizes that an FFT is fast at."""
    return min(odd << (-(-least // odd) - 1).bit_length() for odd in (1, 3, 5))

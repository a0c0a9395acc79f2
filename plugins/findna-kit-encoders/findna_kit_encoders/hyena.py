"""Hyena (Poli et al. 2023, ICML; Nguyen et al. 2023, HyenaDNA), made bidirectional: gates and implicit long convolutions.

A filter is a function of the offset between two positions. A small network computes it, and it extends to both sides:

    z_1 = v,    z_(n+1) = x_n (h_n * z_n),    y = z_(N+1)

Here v and x_1 .. x_N are computed from the input by a linear layer and a short convolution (definition 3.1; the authors' code
leaves out the first filter). Each channel adds a multiple of its own input to the output of a filter. Long convolutions are
computed as products of FFTs.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn

from findna_kit import alphabet
from findna_kit.components import ComponentConfig, Encoder
from findna_kit_encoders.residual import OddKernel, add_class_vectors, initial_class_vectors, run_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

_REACH_DECAY = math.log(100)
"""The reach of a window is the offset at which it has decayed to one hundredth."""


class Hyena(Encoder):
    """Hyena: gated long convolutions over the whole sequence in O(L log L) (Poli 2023).

    Class tokens are positions of the sequence with learned vectors. Filters are learned for the offsets of a training window
    and would be extrapolated beyond it, so `max_length` is the training length.
    """

    class Config(ComponentConfig):
        """Sizes of the network."""

        dim: int = Field(128, gt=0, description="channels")
        hidden: int = Field(256, gt=0, description="width of each block's MLP")
        blocks: int = Field(4, gt=0, description="residual blocks")
        order: int = Field(2, ge=1, le=8, description="long convolutions per block, each followed by a gate")
        kernel: OddKernel = Field(3, gt=0, description="kernel size of the short convolution, in positions; odd")
        bands: int = Field(16, gt=0, description="frequencies in the features of the offset, from which filters are computed")
        filter_hidden: int = Field(64, gt=0, description="width of the network that computes the filters")
        frequency: float = Field(
            1.0, gt=0, description="frequency of the sine activations of that network; at 10, small networks did not train"
        )
        shortest_reach: float = Field(
            0.3,
            gt=0,
            description="offset at which the window of the first channel decays to 0.01, as a share of the training length",
        )
        longest_reach: float = Field(1.5, gt=0, description="the same for the last channel; those between are interpolated")
        dropout: float = Field(0.0, ge=0, lt=1, description="dropout of each update")

    examples = (
        {"dim": 12, "hidden": 16, "blocks": 2, "bands": 4, "filter_hidden": 8},
        {"dim": 8, "hidden": 8, "blocks": 1, "order": 3, "kernel": 1, "bands": 2, "filter_hidden": 8},
    )

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim, self.depth, self.max_length = config.dim, config.blocks, length - class_tokens
        self.embed = nn.Linear(alphabet.CHANNELS, config.dim)
        self.class_vectors = initial_class_vectors(class_tokens, config.dim)
        self.blocks = nn.ModuleList(_HyenaBlock(config, length) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Return embeddings [B, C + L, dim] and the requested hidden states, which are the outputs of the blocks."""
        x, hidden = run_blocks(self.blocks, add_class_vectors(self.embed(bases), self.class_vectors), valid, layers)
        normed: Tensor = self.norm(x)
        return normed, hidden


class _HyenaBlock(nn.Module):
    """`x + operator(norm(x))`, then `x + mlp(norm(x))`; [B, R, dim] to the same shape."""

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
    """Hyena's operator, [B, R, dim] to the same shape. Padding is set to zero before every convolution."""

    def __init__(self, config: Hyena.Config, length: int) -> None:
        super().__init__()
        width = (config.order + 1) * config.dim
        self.order = config.order
        self.enter = nn.Linear(config.dim, width)
        self.short = nn.Conv1d(width, width, config.kernel, padding="same", groups=width)
        self.filters = _Filters(config, length)
        # A smooth filter cannot single out offset 0, so each channel has a separate weight for the position itself.
        self.own = nn.Parameter(torch.randn(config.order, config.dim, 1))
        self.leave = nn.Linear(config.dim, config.dim)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        padding = ~valid[:, None]
        projections = self.short(self.enter(x).transpose(1, 2).masked_fill(padding, 0))
        # FFTs have no bf16 kernels, and sums over a long sequence need fp32.
        z, *gates = projections.to(torch.promote_types(projections.dtype, torch.float32)).chunk(self.order + 1, dim=1)
        # At least twice the length, so that no offset wraps around the circle of the FFT.
        size = _fast_fft_size(2 * x.shape[1] - 1)
        for gate, long_filter, self_weight in zip(gates, self.filters(size), self.own, strict=True):
            z = z.masked_fill(padding, 0)
            z = gate * (_convolve(z, long_filter) + self_weight * z)
        output: Tensor = self.leave(z.transpose(1, 2))
        return output


class _Filters(nn.Module):
    """The filters of a block: a network with sine activations of the offset, times windows that decay exponentially.

    Offsets are measured in training lengths T, so a filter does not depend on the length of the batch. The features are the
    offset, and its cosines and sines of period 2 T, 2 T / 2, 2 T / 3, ..., because offsets run from -T to T.
    """

    def __init__(self, config: Hyena.Config, length: int) -> None:
        super().__init__()
        self.length, self.bands, self.frequency = length, config.bands, config.frequency
        self.shape = (config.order, config.dim)
        self.reaches = (config.shortest_reach, config.longest_reach)
        widths = [2 * config.bands + 1, *[config.filter_hidden] * 3]
        self.layers = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in pairwise(widths))
        self.last = nn.Linear(config.filter_hidden, config.order * config.dim, bias=False)

    def forward(self, size: int) -> Tensor:
        """Return filters [order, dim, size] on a circle: offsets 0, 1, 2, ... from the front, -1, -2, ... from the back."""
        weight = self.last.weight
        offset = torch.fft.fftfreq(size, 1 / size, device=weight.device, dtype=weight.dtype) / self.length
        # In bf16, neighbouring offsets of a long window would be equal.
        with torch.autocast(weight.device.type, enabled=False):
            values = self._features(offset)
            for layer in self.layers:
                values = torch.sin(self.frequency * layer(values))
            values = self.last(values).T.unflatten(0, self.shape)
        first, last = (_REACH_DECAY / reach for reach in self.reaches)
        decay = torch.linspace(first, last, self.shape[1], device=weight.device, dtype=weight.dtype)[:, None]
        # White noise convolved with a window of this height keeps its variance.
        window = (-decay * offset.abs()).exp() * (decay / self.length).sqrt()
        filters: Tensor = values * window
        return filters

    def _features(self, offset: Tensor) -> Tensor:
        """Return the features [size, 2 bands + 1] of each offset [size]."""
        angle = offset[:, None] * math.pi * torch.arange(1, self.bands + 1, device=offset.device)
        return torch.cat([offset[:, None], angle.cos(), angle.sin()], dim=1)


def _convolve(z: Tensor, circle: Tensor) -> Tensor:
    """Return `sum_s h(t - s) z(s)` for every t, by FFT.

    z [B, D, R]. circle [D, size]: h on a circle large enough that no two offsets of R positions coincide.
    """
    size = circle.shape[-1]
    product = torch.fft.rfft(z, n=size) * torch.fft.rfft(circle)
    convolved: Tensor = torch.fft.irfft(product, n=size)
    return convolved[..., : z.shape[-1]]


def _fast_fft_size(least: int) -> int:
    """Return the smallest number of the form 2^k, 3 2^k or 5 2^k that is at least `least`: FFTs of these sizes are fast."""
    # For n, which is least / odd rounded up, (n - 1).bit_length() is log2(n) rounded up, in exact integers.
    return min(odd << (-(-least // odd) - 1).bit_length() for odd in (1, 3, 5))

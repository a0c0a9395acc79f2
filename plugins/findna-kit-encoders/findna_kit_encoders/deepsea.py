"""DeepSEA's convolutions (Zhou and Troyanskaya 2015, Nature Methods 12, 931-934): one embedding for `pool^2` bases.

As in the supplement of the paper: convolution, ReLU, max pooling, dropout; the same again; convolution, ReLU, dropout. The two
dense layers that follow in the paper, 925 wide and one output for each of 919 profiles, need sequences of exactly 1,000 bases
and belong to that task, so they are left out. The paper's convolutions use no padding; here zeros are added at both ends, so
that L bases give ceil(L / stride) embeddings.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit import alphabet
from findna_kit.components import ComponentConfig, Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence


class DeepSEA(Encoder):
    """DeepSEA: three convolutions with two max-pooling layers between them (Zhou 2015).

    `stride` is `pool^2`; of the losses over single bases, those with a head for patches can be used. The one hidden layer is
    the output of the last convolution, before its dropout.
    """

    class Config(ComponentConfig):
        """Sizes of the network. The paper uses 320, 480 and 960 channels; the other defaults are the paper's."""

        first: int = Field(64, gt=0, description="channels of the first convolution (paper: 320)")
        second: int = Field(96, gt=0, description="channels of the second convolution (paper: 480)")
        dim: int = Field(192, gt=0, description="channels of the third convolution (paper: 960)")
        kernel: int = Field(8, gt=0, description="kernel size of each convolution, in positions of its input")
        pool: int = Field(4, gt=1, le=32, description="size and stride of each of the two max-pooling layers")
        dropout: float = Field(0.2, ge=0, lt=1, description="dropout after each pooling layer")
        last_dropout: float = Field(0.5, ge=0, lt=1, description="dropout after the third convolution")

    examples = (
        {"first": 8, "second": 12, "dim": 16},
        {"first": 8, "second": 8, "dim": 8, "kernel": 3, "pool": 2, "dropout": 0.0, "last_dropout": 0.0},
    )
    global_mixing = False
    depth = 1

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim, self.stride, self.pool = config.dim, config.pool**2, config.pool
        self.dropout, self.last_dropout = nn.Dropout(config.dropout), nn.Dropout(config.last_dropout)
        widths = (alphabet.CHANNELS, config.first, config.second, config.dim)
        self.convolutions = nn.ModuleList(_Convolution(inputs, outputs, config.kernel) for inputs, outputs in pairwise(widths))

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Return embeddings [B, ceil(L / stride), dim]; hidden state 0 is the embeddings before their dropout."""
        x, unpadded = bases.transpose(1, 2), valid[:, None]
        first, second, third = self.convolutions
        for convolution in (first, second):
            x, unpadded = self._max_pool(convolution(x, unpadded), unpadded)
            x = self.dropout(x)
        last = third(x, unpadded).transpose(1, 2)
        return self.last_dropout(last), {0: last} if 0 in layers else {}

    def _max_pool(self, x: Tensor, unpadded: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maximum of every `pool` positions that are not padding, and which results cover any such position."""
        # The input comes from a ReLU: a zero in place of padding, or beyond the end, never exceeds a value.
        filled = F.pad(x.masked_fill(~unpadded, 0), (0, -x.shape[2] % self.pool))
        # Padding is last, so the first position of a pooling window tells whether the window covers any base.
        return F.max_pool1d(filled, self.pool), unpadded[..., :: self.pool]


class _Convolution(nn.Module):
    """`relu(conv(x))`, [B, D, L] to [B, D', L]; positions that are not `unpadded` [B, 1, L] are read as zeros."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel)
        # An even kernel is extended by a weight of zero. oneDNN's bf16 convolution of a multiple of 4 positions by few channels
        # gives wrong numbers on a CPU with AMX (torch 2.13); a test compares bf16 with fp32.
        self.extra_weights = 1 - kernel % 2
        self.margins = ((kernel - 1) // 2, kernel // 2 + self.extra_weights)

    def forward(self, x: Tensor, unpadded: Tensor) -> Tensor:
        filled = F.pad(x.masked_fill(~unpadded, 0), self.margins)
        return F.relu(F.conv1d(filled, F.pad(self.conv.weight, (0, self.extra_weights)), self.conv.bias))

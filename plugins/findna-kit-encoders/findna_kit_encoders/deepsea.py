"""DeepSEA's convolutions (Zhou and Troyanskaya 2015, Nature Methods 12, 931-934): one embedding for `pool^2` bases.

As in their supplement: convolution, ReLU, max-pooling, dropout; the same again; convolution, ReLU, dropout. Their two dense
layers after it, 925 wide and one output for each of 919 profiles, take a sequence of exactly 1,000 bases and belong to that
task: they are left out. Their convolutions take none but whole windows; here zeros stand beyond both ends, so that L bases
give ceil(L / stride) embeddings.
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
    """Three convolutions with two poolings between them; `stride` is `pool^2`, so that no loss may ask for single bases.

    The one hidden layer is the last convolution's, before its dropout.
    """

    class Config(ComponentConfig):
        """Sizes of the network; the paper's are 320, 480 and 960 channels, the rest is the paper's."""

        first: int = Field(64, gt=0, description="channels of the first convolution (the paper: 320)")
        second: int = Field(96, gt=0, description="channels of the second convolution (the paper: 480)")
        dim: int = Field(192, gt=0, description="channels of the third convolution (the paper: 960)")
        kernel: int = Field(8, gt=0, description="rows that each convolution looks at")
        pool: int = Field(4, gt=1, le=32, description="rows of which each of the two poolings keeps the largest")
        dropout: float = Field(0.2, ge=0, lt=1, description="share dropped after each pooling")
        last_dropout: float = Field(0.5, ge=0, lt=1, description="share dropped after the third convolution")

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
        self.convolutions = nn.ModuleList(_Convolution(given, made, config.kernel) for given, made in pairwise(widths))

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Embeddings [B, ceil(L / stride), dim]; hidden state 0 is the embeddings without their dropout."""
        x, kept = bases.transpose(1, 2), valid[:, None]
        first, second, third = self.convolutions
        for convolution in (first, second):
            x, kept = self._pooled(convolution(x, kept), kept)
            x = self.dropout(x)
        last = third(x, kept).transpose(1, 2)
        return self.last_dropout(last), {0: last} if 0 in layers else {}

    def _pooled(self, x: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """The largest of every `pool` rows that are kept, and which windows hold any: padding stands last."""
        # Nothing is below 0 after the ReLU: a zero in place of padding, or beyond the end, never wins.
        rows = F.pad(x.masked_fill(~kept, 0), (0, -x.shape[2] % self.pool))
        return F.max_pool1d(rows, self.pool), kept[..., :: self.pool]


class _Convolution(nn.Module):
    """`relu(conv(x))`, [B, D, R] to [B, D', R]; what is not kept [B, 1, R] looks like what is beyond the end."""

    def __init__(self, given: int, made: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(given, made, kernel)
        # An even kernel gets a weight of zero more: oneDNN's bf16 convolution of a multiple of 4 rows by few channels gives
        # wrong numbers where the CPU has AMX (torch 2.13; a test holds them to fp32's).
        self.more = 1 - kernel % 2
        self.around = ((kernel - 1) // 2, kernel // 2 + self.more)

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        seen = F.pad(x.masked_fill(~kept, 0), self.around)
        return F.relu(F.conv1d(seen, F.pad(self.conv.weight, (0, self.more)), self.conv.bias))

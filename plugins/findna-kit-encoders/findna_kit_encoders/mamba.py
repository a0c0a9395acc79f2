"""Bidirectional Mamba: selective state spaces (Gu and Dao 2023) from both ends (Schiff et al. 2024, Caduceus' BiMamba)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit import alphabet
from findna_kit.components import ComponentConfig, Encoder
from findna_kit_encoders.selective_scan import selective_scan

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEPS = (0.001, 0.1)
"""Between these the sizes of the steps begin, evenly in their logarithm (Gu and Dao 2023, section 3.6)."""


class Mamba(Encoder):
    """Mixes a sequence of any length in O(L). Class rows stand before it: rows like any other, with vectors of their own.

    A nucleotide reads them from its left; they read the whole sequence from their right.
    """

    class Config(ComponentConfig):
        """Sizes of the network."""

        dim: int = Field(128, gt=0, description="channels")
        blocks: int = Field(4, gt=0, description="residual blocks")
        state: int = Field(16, gt=0, le=256, description="numbers that each inner channel carries along the sequence")
        expand: int = Field(2, gt=0, description="inner channels for each of dim")
        kernel: int = Field(4, gt=0, description="rows that the causal convolution before a scan looks at")
        directions: Literal["tied", "separate"] = Field(
            "tied", description="whether the two directions share their projections in and out, as in Caduceus, or nothing"
        )
        dropout: float = Field(0.0, ge=0, lt=1, description="share of each block's update dropped")

    examples = (
        {"dim": 12, "blocks": 2, "state": 4},
        {"dim": 8, "blocks": 1, "state": 3, "expand": 1, "kernel": 2, "directions": "separate"},
    )

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim, self.depth = config.dim, config.blocks
        self.embed = nn.Linear(alphabet.CHANNELS, config.dim)
        self.class_vectors = nn.Parameter(0.02 * torch.randn(class_tokens, config.dim))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.blocks))
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
    """`x + mixer(norm(x))`, [B, R, dim] to the same; with separate directions the sum of two mixers."""

    def __init__(self, config: Mamba.Config) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.dim)
        ways = [(False, True)] if config.directions == "tied" else [(False,), (True,)]
        self.mixers = nn.ModuleList(_Mixer(config, backward) for backward in ways)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        seen = self.norm(x)
        for mixer in self.mixers:
            x = x + self.dropout(mixer(seen, valid))
        return x


class _Mixer(nn.Module):
    """The block of Gu and Dao's figure 3, whose projections serve one scan for each of `backward`."""

    def __init__(self, config: Mamba.Config, backward: Sequence[bool]) -> None:
        super().__init__()
        inner = config.expand * config.dim
        self.enter = nn.Linear(config.dim, 2 * inner, bias=False)
        self.scans = nn.ModuleList(_Scan(config, inner) for _ in backward)
        self.leave = nn.Linear(inner, config.dim, bias=False)
        self.backward_too = tuple(backward)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        inner, gate = self.enter(x).chunk(2, dim=-1)
        inner = inner.masked_fill(~valid[..., None], 0)
        scanned = [
            scan(inner.flip(1), valid.flip(1)).flip(1) if back else scan(inner, valid)
            for scan, back in zip(self.scans, self.backward_too, strict=True)
        ]
        left: Tensor = self.leave(sum(scanned[1:], scanned[0]) * F.silu(gate))
        return left


class _Scan(nn.Module):
    """A causal convolution and a selective scan of it. x [B, R, inner], zero where not `valid` [B, R].

    On padding the step is 0, so that the state passes it unchanged: from the right, a scan begins at the last valid row.
    """

    def __init__(self, config: Mamba.Config, inner: int) -> None:
        super().__init__()
        rank, self.kernel = math.ceil(config.dim / 16), config.kernel
        self.sizes = [rank, config.state, config.state]
        self.convolution = nn.Conv1d(inner, inner, config.kernel, groups=inner)
        self.select = nn.Linear(inner, sum(self.sizes), bias=False)
        self.step = nn.Linear(rank, inner)
        # State s begins with A = -(s + 1) (S4D-Real). Flat, since the optimizer decays matrices and Mamba's A is left alone.
        self.log_a = nn.Parameter(torch.arange(1.0, config.state + 1).log().repeat_interleave(inner))
        self.skip = nn.Parameter(torch.ones(inner))
        self._begin(rank)

    @torch.no_grad()
    def _begin(self, rank: int) -> None:
        nn.init.uniform_(self.step.weight, -(rank**-0.5), rank**-0.5)
        low, high = (math.log(step) for step in _STEPS)
        steps = torch.empty_like(self.step.bias).uniform_(low, high).exp()
        self.step.bias.copy_(steps + (-(-steps).expm1()).log())  # softplus undone

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        x = F.silu(self.convolution(F.pad(x.transpose(1, 2), (self.kernel - 1, 0)))).transpose(1, 2)
        narrow, b, c = self.select(x).split(self.sizes, dim=-1)
        exact = torch.promote_types(x.dtype, torch.float32)
        delta = F.softplus(self.step(narrow).to(exact)).masked_fill(~valid[..., None], 0)
        x, b, c = x.to(exact), b.to(exact).movedim(-1, 0), c.to(exact).movedim(-1, 0)
        a = -self.log_a.to(exact).exp().view(self.sizes[1], -1)
        return selective_scan(x, delta, a, b, c) + self.skip * x

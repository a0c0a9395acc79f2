"""Bidirectional Mamba: selective state spaces (Gu and Dao 2023) run from both ends (BiMamba of Schiff et al. 2024, Caduceus).

A block adds the output of one or two mixers to its input. A mixer projects the input to a wider space, runs a selective scan in
one or both directions, gates the result and projects it back. The scan itself is in `selective_scan.py`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit import alphabet
from findna_kit.components import ComponentConfig, Encoder
from findna_kit_encoders.residual import add_class_vectors, initial_class_vectors, run_blocks
from findna_kit_encoders.selective_scan import selective_scan

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEP_SIZES = (0.001, 0.1)
"""Range of the initial step sizes, which are drawn log-uniformly (Gu and Dao 2023, section 3.6)."""


class Mamba(Encoder):
    """Bidirectional Mamba: selective state spaces over sequences of any length in O(L) (Gu 2023).

    Class tokens come before the bases and have learned vectors. The forward scan carries them to the bases; the backward scan
    carries the whole sequence to them.
    """

    class Config(ComponentConfig):
        """Sizes of the network."""

        dim: int = Field(128, gt=0, description="channels")
        blocks: int = Field(4, gt=0, description="residual blocks")
        state: int = Field(16, gt=0, le=256, description="size of the state that each inner channel carries along the sequence")
        expand: int = Field(2, gt=0, description="inner channels, in multiples of dim")
        kernel: int = Field(4, gt=0, description="kernel size of the causal convolution before a scan, in positions")
        directions: Literal["tied", "separate"] = Field(
            "tied",
            description="tied: both directions share the input and output projections, as in Caduceus; separate: nothing",
        )
        dropout: float = Field(0.0, ge=0, lt=1, description="dropout of each block's update")

    examples = (
        {"dim": 12, "blocks": 2, "state": 4},
        {"dim": 8, "blocks": 1, "state": 3, "expand": 1, "kernel": 2, "directions": "separate"},
    )

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim, self.depth = config.dim, config.blocks
        self.embed = nn.Linear(alphabet.CHANNELS, config.dim)
        self.class_vectors = initial_class_vectors(class_tokens, config.dim)
        self.blocks = nn.ModuleList(_MambaBlock(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Return embeddings [B, C + L, dim] and the requested hidden states, which are the outputs of the blocks."""
        x, hidden = run_blocks(self.blocks, add_class_vectors(self.embed(bases), self.class_vectors), valid, layers)
        normed: Tensor = self.norm(x)
        return normed, hidden


class _MambaBlock(nn.Module):
    """`x + mixer(norm(x))`, [B, R, dim] to the same shape; with separate directions the sum of two mixers."""

    def __init__(self, config: Mamba.Config) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.dim)
        # One mixer that scans in both directions, or one mixer for each direction.
        directions = [(False, True)] if config.directions == "tied" else [(False,), (True,)]
        self.mixers = nn.ModuleList(_Mixer(config, backward) for backward in directions)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        normed = self.norm(x)
        for mixer in self.mixers:
            x = x + self.dropout(mixer(normed, valid))
        return x


class _Mixer(nn.Module):
    """The block of figure 3 of Gu and Dao, with one scan for each entry of `backward` (True: from right to left)."""

    def __init__(self, config: Mamba.Config, backward: Sequence[bool]) -> None:
        super().__init__()
        inner = config.expand * config.dim
        self.enter = nn.Linear(config.dim, 2 * inner, bias=False)
        self.scans = nn.ModuleList(_Scan(config, inner) for _ in backward)
        self.leave = nn.Linear(inner, config.dim, bias=False)
        self.backward = tuple(backward)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        inner, gate = self.enter(x).chunk(2, dim=-1)
        inner = inner.masked_fill(~valid[..., None], 0)
        scanned = [
            scan(inner.flip(1), valid.flip(1)).flip(1) if reverse else scan(inner, valid)
            for scan, reverse in zip(self.scans, self.backward, strict=True)
        ]
        output: Tensor = self.leave(sum(scanned[1:], scanned[0]) * F.silu(gate))
        return output


class _Scan(nn.Module):
    """A causal convolution followed by a selective scan. x [B, R, inner] is zero where `valid` [B, R] is False.

    The step size on padding is 0, so the state passes it unchanged: the backward scan in effect begins at the last valid row.
    """

    def __init__(self, config: Mamba.Config, inner: int) -> None:
        super().__init__()
        rank, self.kernel = math.ceil(config.dim / 16), config.kernel
        self.sizes = [rank, config.state, config.state]
        self.convolution = nn.Conv1d(inner, inner, config.kernel, groups=inner)
        self.select = nn.Linear(inner, sum(self.sizes), bias=False)
        self.step = nn.Linear(rank, inner)
        # Initially A = -(s + 1) for state s (S4D-Real). The parameter is flat because the optimizer applies weight decay to
        # matrices, and Mamba's A is not decayed.
        self.log_a = nn.Parameter(torch.arange(1.0, config.state + 1).log().repeat_interleave(inner))
        self.skip = nn.Parameter(torch.ones(inner))
        self._initialise_steps(rank)

    @torch.no_grad()
    def _initialise_steps(self, rank: int) -> None:
        """Draw the weights of the step-size layer, and biases whose softplus lies in the range of initial step sizes."""
        nn.init.uniform_(self.step.weight, -(rank**-0.5), rank**-0.5)
        low, high = (math.log(step_size) for step_size in _STEP_SIZES)
        steps = torch.empty_like(self.step.bias).uniform_(low, high).exp()
        self.step.bias.copy_(steps + (-(-steps).expm1()).log())  # the inverse of softplus

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        # Padding by kernel - 1 on the left alone makes the convolution causal.
        x = F.silu(self.convolution(F.pad(x.transpose(1, 2), (self.kernel - 1, 0)))).transpose(1, 2)
        low_rank, b, c = self.select(x).split(self.sizes, dim=-1)
        # The recurrence multiplies many factors near 1, which bf16 cannot represent.
        exact = torch.promote_types(x.dtype, torch.float32)
        delta = F.softplus(self.step(low_rank).to(exact)).masked_fill(~valid[..., None], 0)
        x, b, c = x.to(exact), b.to(exact).movedim(-1, 0), c.to(exact).movedim(-1, 0)
        a = -self.log_a.to(exact).exp().view(self.sizes[1], -1)
        return selective_scan(x, delta, a, b, c) + self.skip * x

"""ChordMixer (Khalitov, Yu, Cheng and Yang 2023, ICLR; arXiv 2206.05852), as FinDNA uses it.

A layer is `x + shift(dropout(mlp(x)))`. The channels are split into groups; group 0 stays, group i moves by 2^(i-1) positions
along the ring of class tokens and valid positions: after ceil(log2 length) layers every position has reached every other.
There is no positional encoding and, unless `norm` asks for it, no normalisation. Offsets belong to channels, and the number of
layers is fixed by the training length; for another length the same network is used, with offsets modulo the length of its ring.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from findna_kit import alphabet
from findna_kit.components import ComponentConfig, Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence


_SMALL = 1 << 16
"""Numbers up to which a shift on a CPU is one index lookup: for so few, calling a copy per group costs more than copying."""


class ChordMixer(Encoder):
    """ChordMixer: global mixing by shifting channel groups along a ring, in O(L log L) for any length L (Khalitov 2023)."""

    class Config(ComponentConfig):
        """Sizes of the network."""

        dim: int = Field(132, gt=0, description="channels")
        hidden: int = Field(256, gt=0, description="width inside each layer's MLP")
        blocks: int = Field(2, gt=0, description="blocks; each mixes every position with every other")
        layers: int | None = Field(None, gt=0, le=24, description="layers per block; null: ceil(log2 of the training length)")
        dropout: float = Field(0.0, ge=0, lt=1, description="share of each layer's update dropped")
        norm: Literal["none", "layer"] = Field(
            "none", description="`layer`: layer normalisation before each MLP and of the output; `none` is FinDNA's network"
        )
        learned_class_tokens: bool = Field(
            False, description="whether class tokens enter as learned vectors; otherwise they enter as zeros, as MASK does"
        )

    examples = (
        {"dim": 14, "hidden": 16, "blocks": 2},
        {"dim": 7, "hidden": 8, "blocks": 1, "layers": 3, "dropout": 0.1},
        {"dim": 14, "hidden": 16, "blocks": 1, "norm": "layer", "learned_class_tokens": True},
    )

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        # Offsets 1, 2, 4, ... connect every pair of positions after ceil(log2 length) layers.
        layers = config.layers or max(1, math.ceil(math.log2(length)))
        self.dim, self.depth = config.dim, config.blocks
        self.groups = _groups(config.dim, layers)
        self.embed = nn.Linear(alphabet.CHANNELS, config.dim)
        self.blocks = nn.ModuleList(nn.ModuleList(_MixerLayer(config) for _ in range(layers)) for _ in range(config.blocks))
        # Pre-norm layers leave the scale of their sum open, so the output is normalised too.
        self.norm = nn.LayerNorm(config.dim) if config.norm == "layer" else nn.Identity()
        self.class_vectors: nn.Parameter | None = None
        if config.learned_class_tokens:
            # Drawn last, so that the other weights are the same with and without them. As large as embedded bases: a column of
            # the embedding plus its bias, both initialised with variance 1 / (3 * 5).
            deviation = math.sqrt(2 / (3 * alphabet.CHANNELS))
            self.class_vectors = nn.Parameter(deviation * torch.randn(class_tokens, config.dim))

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Return embeddings [B, C + L, dim] and the hidden states after the blocks in `layers`."""
        shift = _Shift.of(self.groups, valid)
        x, hidden = self.embed(bases), {}
        if self.class_vectors is not None:
            # Cast, because under autocast fp32 vectors would make all of x fp32.
            vectors = self.class_vectors.to(x.dtype).expand(x.shape[0], -1, -1)
            x = torch.cat([vectors, x[:, len(self.class_vectors) :]], dim=1)
        for depth, block in enumerate(self.blocks):
            for layer in block.children():
                x = layer(x, shift)
            if depth in layers:
                hidden[depth] = x
        return self.norm(x), hidden


class _MixerLayer(nn.Module):
    """`x + shift(dropout(mlp(norm(x))))`, [B, R, dim] to the same."""

    def __init__(self, config: ChordMixer.Config) -> None:
        super().__init__()
        dim, hidden = config.dim, config.hidden
        self.norm = nn.LayerNorm(dim) if config.norm == "layer" else nn.Identity()
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim), nn.Dropout(config.dropout))

    def forward(self, x: Tensor, shift: _Shift) -> Tensor:
        """Apply the layer; `shift` is the same for all layers of a forward pass."""
        shifted: Tensor = _ShiftAndAdd.apply(x, self.mlp(self.norm(x)), shift)  # type: ignore[no-untyped-call]
        return shifted


def _groups(dim: int, layers: int) -> tuple[tuple[slice, int], ...]:
    """Return channels and offset of each of the layers + 1 groups; if these do not divide, the first are one channel wider."""
    # Each group needs a channel: with fewer channels than groups, those with the largest offsets are left out.
    count = min(layers + 1, dim)
    edges = [index * (dim // count) + min(index, dim % count) for index in range(count + 1)]
    return tuple((slice(a, b), 0 if i == 0 else 2 ** (i - 1)) for i, (a, b) in enumerate(pairwise(edges)))


class _Shift:
    """Shifts each group of channels by its offset along the ring; `back` is the inverse.

    There are four implementations, chosen for speed. Without padding the ring is the whole length: slices are copied, or for a
    small batch one index lookup moves every number. With padding each sequence has a ring of its own: positions are gathered
    group by group, and padding keeps its place. For export all groups are gathered at once.

    index: with padding, the source positions of each group for the shift and for its inverse. whole: for export, the source
    positions [B, R, dim] of all channels. small: whether to use one index lookup.
    """

    def __init__(
        self,
        groups: tuple[tuple[slice, int], ...],
        index: tuple[list[Tensor], list[Tensor]] | None,
        whole: Tensor | None = None,
        *,
        small: bool = False,
    ) -> None:
        self.groups, self.index, self.whole, self.small = groups, index, whole, small
        self._lookup: dict[bool, Tensor] = {}

    @classmethod
    def of(cls, groups: tuple[tuple[slice, int], ...], valid: Tensor) -> _Shift:
        """Choose the implementation for a batch. valid: [B, R], class tokens included."""
        exporting = torch.compiler.is_exporting()  # an exported graph serves every padding, so it may not depend on `valid`
        if not exporting and bool(valid.all()):
            few = valid.device.type == "cpu" and valid.numel() * groups[-1][0].stop <= _SMALL
            return cls(groups, None, small=few and not torch.compiler.is_compiling())
        position = torch.arange(valid.shape[1], device=valid.device)[None]
        ring = valid.sum(1, keepdim=True)
        # Class tokens are first and padding is last, so the ring is the first `ring` positions of a sequence.
        on_ring = position < ring
        ahead = [((position + offset) % ring.clamp(min=1)).where(on_ring, position) for _, offset in groups]
        if exporting:
            whole = [_columns(rows, channels) for rows, (channels, _) in zip(ahead, groups, strict=True)]
            return cls(groups, None, torch.cat(whole, dim=2))
        behind = [((position - offset) % ring.clamp(min=1)).where(on_ring, position) for _, offset in groups]
        return cls(groups, (ahead, behind))

    def __call__(self, x: Tensor, *, back: bool = False) -> Tensor:
        if self.whole is not None:  # all groups at once: one node of the exported graph instead of one per group
            return x.gather(1, self.whole)
        if not self.small:
            return self._copied(x, back=back)
        if back not in self._lookup:
            # The lookup table is what the slow implementation does to the numbers' indices.
            indices = torch.arange(x[0].numel()).view_as(x[:1])
            self._lookup[back] = self._copied(indices, back=back).flatten()
        return x.flatten(1).index_select(1, self._lookup[back]).view_as(x)

    def _copied(self, x: Tensor, *, back: bool) -> Tensor:
        """Shift group by group: by gathering where there is padding, otherwise by copying two slices."""
        out = torch.empty_like(x)
        rows = x.shape[1]
        for number, (channels, offset) in enumerate(self.groups):
            if self.index is not None:
                # `index` is (ahead, behind): `back` as a number, 0 or 1, selects the shift or its inverse.
                out[..., channels] = x[..., channels].gather(1, _columns(self.index[back][number], channels))
                continue
            cut = (-offset if back else offset) % rows
            out[:, : rows - cut, channels] = x[:, cut:, channels]
            out[:, rows - cut :, channels] = x[:, :cut, channels]
        return out


def _columns(rows: Tensor, channels: slice) -> Tensor:
    """Expand source positions [B, R] to [B, R, channels], the same in each channel."""
    return rows[..., None].expand(-1, -1, channels.stop - channels.start)


class _ShiftAndAdd(torch.autograd.Function):
    """`x + shift(update)`. The gradient of a permutation is its inverse; autograd would build it from a slice per group."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, update: Tensor, shift: _Shift) -> Tensor:
        """Return `x + shift(update)`, [B, R, dim]."""
        # Only the shift is kept: the gradient needs neither x nor the update.
        ctx.shift = shift
        # Every implementation of the shift returns new memory, so the sum may overwrite it.
        return shift(update).add_(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of x and of the update."""
        return gradient, ctx.shift(gradient, back=True), None

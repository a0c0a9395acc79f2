"""CDIL (Cheng, Khalitov, Yu, Zhang and Yang 2022, Neurocomputing; arXiv 2201.02143): dilated convolutions on a ring.

A layer is `x + relu(dropout(conv(x)))`; the convolution looks at `kernel` rows around its own, 1, 2, 4, ... rows apart from
layer to layer, and goes on at the other end. The ring is that of a sequence's class and valid rows; padding is not on it. The
authors' code norms the weights of a convolution (Salimans and Kingma 2016) and no activations, so that nothing here needs
replacing. Their average over the rows is what `pooled` is; the network is the part before it, with a linear embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit import alphabet
from findna_kit.components import ComponentConfig, Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence


class CDIL(Encoder):
    """Mixes a ring of rows: each sees `(kernel - 1) * (2^layers - 1) + 1` of them.

    Where that is the whole ring of the training length, as it is with `layers: null`, the mixing is global: class rows stand
    on the ring, and with them `max_length` is what they can see. With fewer layers it is local, and there are no class rows.
    """

    class Config(ComponentConfig):
        """Sizes of the network."""

        dim: int = Field(128, gt=0, description="channels")
        layers: int | None = Field(
            None, gt=0, le=24, description="dilations 1, 2, 4, ...; null: as many as let a row see a training window whole"
        )
        kernel: int = Field(3, ge=3, description="rows that a convolution looks at; odd")
        dropout: float = Field(0.0, ge=0, lt=1, description="share of each layer's update dropped")

        @field_validator("kernel")
        @classmethod
        def _odd(cls, kernel: int) -> int:
            if kernel % 2 == 0:
                raise ValueError("an odd number is wanted, so that a row stands in the middle")
            return kernel

        def seen(self, layers: int) -> int:
            """Rows that reach one row through this many layers."""
            return (self.kernel - 1) * ((1 << layers) - 1) + 1

    examples = (
        {"dim": 16},
        {"dim": 8, "layers": 2, "kernel": 5, "dropout": 0.1},
    )

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim = config.dim
        self.depth = config.layers or next(layers for layers in range(1, 64) if config.seen(layers) >= length)
        seen = config.seen(self.depth)
        self.global_mixing = seen >= length
        classes = class_tokens if self.global_mixing else 0
        if classes:
            self.max_length = seen - classes
        self.embed = nn.Linear(alphabet.CHANNELS, config.dim)
        self.class_vectors = nn.Parameter(0.02 * torch.randn(classes, config.dim)) if classes else None
        self.layers = nn.ModuleList(_Layer(config, 2**layer) for layer in range(self.depth))

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Embeddings [B, C + L, dim]; hidden states are those after each layer."""
        x, hidden = self.embed(bases), {}
        if self.class_vectors is not None:
            classes = len(self.class_vectors)
            x = torch.cat([x[:, :classes] + self.class_vectors.to(x.dtype), x[:, classes:]], dim=1)
        ring = _Ring(valid)
        for depth, layer in enumerate(self.layers):
            x = layer(x, ring)
            if depth in layers:
                hidden[depth] = x
        return x, hidden


class _Layer(nn.Module):
    """One convolution, its weights [dim, kernel * dim] held as a direction and a magnitude for each channel it gives."""

    def __init__(self, config: CDIL.Config, dilation: int) -> None:
        super().__init__()
        half = config.kernel // 2
        self.offsets = [tap * dilation for tap in range(-half, half + 1)]
        self.dropout = nn.Dropout(config.dropout)
        drawn = nn.Linear(config.kernel * config.dim, config.dim)
        self.direction, self.bias = drawn.weight, drawn.bias
        self.magnitude = nn.Parameter(drawn.weight.detach().norm(dim=1))

    def forward(self, x: Tensor, ring: _Ring) -> Tensor:
        weight = F.normalize(self.direction, dim=1) * self.magnitude[:, None]
        update = F.linear(torch.cat([ring(x, offset) for offset in self.offsets], dim=-1), weight, self.bias)
        mixed: Tensor = x + F.relu(self.dropout(update))
        return mixed


class _Ring:
    """Shows each row of [B, R, D] the one that lies `offset` rows on, around its sequence's own ring; padding shows itself."""

    def __init__(self, valid: Tensor) -> None:
        # A graph, compiled or exported, is for every padding, so that nothing may be asked of it.
        self.whole = not torch.compiler.is_compiling() and bool(valid.all())
        self.at = torch.arange(valid.shape[1], device=valid.device)[None]
        self.rows = valid.sum(1, keepdim=True)

    def __call__(self, x: Tensor, offset: int) -> Tensor:
        if offset == 0:
            return x
        if self.whole:
            return x.roll(-offset, dims=1)
        source = ((self.at + offset) % self.rows.clamp(min=1)).where(self.at < self.rows, self.at)
        return x.gather(1, source[..., None].expand(-1, -1, x.shape[2]))

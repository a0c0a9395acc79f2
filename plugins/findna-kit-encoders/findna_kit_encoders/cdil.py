"""CDIL (Cheng, Khalitov, Yu, Zhang and Yang 2022, Neurocomputing; arXiv 2201.02143): dilated convolutions on a ring.

A layer is `x + relu(dropout(conv(x)))`. The convolution reads `kernel` positions around its own, at distance 1, 2, 4, ... from
layer to layer, and continues at the other end of the sequence. The ring consists of the class tokens and the valid bases of a
sequence; padding is not on it. The authors' code normalises the weights of a convolution (Salimans and Kingma 2016) and no
activations, so no batch normalisation had to be replaced. Their average over positions is the kit's pooled embedding; this
module is the network before it, with a linear embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit import alphabet
from findna_kit.components import ComponentConfig, Encoder
from findna_kit_encoders.residual import OddKernel, add_class_vectors, initial_class_vectors, run_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence


class CDIL(Encoder):
    """CDIL: circular dilated convolutions with a receptive field of `(kernel - 1) * (2^layers - 1) + 1` positions (Cheng 2022).

    Where the receptive field covers the whole ring of the training length, as with `layers: null`, the mixing is global: class
    tokens are on the ring, and `max_length` is what they can see. With fewer layers, mixing is local and there are none.
    """

    class Config(ComponentConfig):
        """Sizes of the network."""

        dim: int = Field(128, gt=0, description="channels")
        layers: int | None = Field(
            None,
            gt=0,
            le=24,
            description="convolutions, with dilations 1, 2, 4, ...; null: as many as cover a whole training window",
        )
        kernel: OddKernel = Field(3, ge=3, description="kernel size of each convolution, in positions; odd")
        dropout: float = Field(0.0, ge=0, lt=1, description="dropout of each layer's update")

        def receptive_field(self, layers: int) -> int:
            """Return the number of positions that reach one position through this many layers."""
            return (self.kernel - 1) * ((1 << layers) - 1) + 1

    examples = (
        {"dim": 16},
        {"dim": 8, "layers": 2, "kernel": 5, "dropout": 0.1},
    )

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim = config.dim
        self.depth = config.layers or next(layers for layers in range(1, 64) if config.receptive_field(layers) >= length)
        receptive_field = config.receptive_field(self.depth)
        self.global_mixing = receptive_field >= length
        classes = class_tokens if self.global_mixing else 0
        if classes:
            # On a longer ring a class token would not see every base, although `global_mixing` promises it.
            self.max_length = receptive_field - classes
        self.embed = nn.Linear(alphabet.CHANNELS, config.dim)
        self.class_vectors = initial_class_vectors(classes, config.dim) if classes else None
        self.layers = nn.ModuleList(_Layer(config, 2**layer) for layer in range(self.depth))

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Return embeddings [B, C + L, dim] and the requested hidden states, which are the outputs of the layers."""
        x = self.embed(bases)
        if self.class_vectors is not None:
            x = add_class_vectors(x, self.class_vectors)
        return run_blocks(self.layers, x, _Ring(valid), layers)


class _Layer(nn.Module):
    """One convolution: its weights [dim, kernel * dim] are a direction and a magnitude for each output channel."""

    def __init__(self, config: CDIL.Config, dilation: int) -> None:
        super().__init__()
        half = config.kernel // 2
        self.offsets = [tap * dilation for tap in range(-half, half + 1)]
        self.dropout = nn.Dropout(config.dropout)
        # Weight normalisation by hand: `torch.nn.utils.parametrizations` would rename the parameters in checkpoints.
        linear = nn.Linear(config.kernel * config.dim, config.dim)
        self.direction, self.bias = linear.weight, linear.bias
        self.magnitude = nn.Parameter(linear.weight.detach().norm(dim=1))

    def forward(self, x: Tensor, ring: _Ring) -> Tensor:
        weight = F.normalize(self.direction, dim=1) * self.magnitude[:, None]
        update = F.linear(torch.cat([ring(x, offset) for offset in self.offsets], dim=-1), weight, self.bias)
        mixed: Tensor = x + F.relu(self.dropout(update))
        return mixed


class _Ring:
    """Shift of [B, R, D]: each row becomes the row `offset` further along its sequence's own ring; padding stays in place."""

    def __init__(self, valid: Tensor) -> None:
        # A compiled or exported graph must work for every padding, so it may not branch on the values of `valid`.
        self.unpadded = not torch.compiler.is_compiling() and bool(valid.all())
        self.positions = torch.arange(valid.shape[1], device=valid.device)[None]
        self.sizes = valid.sum(1, keepdim=True)

    def __call__(self, x: Tensor, offset: int) -> Tensor:
        if offset == 0:
            return x
        if self.unpadded:
            # All rings have the same size: a roll copies less than a gather.
            return x.roll(-offset, dims=1)
        on_ring = self.positions < self.sizes
        source = ((self.positions + offset) % self.sizes.clamp(min=1)).where(on_ring, self.positions)
        return x.gather(1, source[..., None].expand(-1, -1, x.shape[2]))

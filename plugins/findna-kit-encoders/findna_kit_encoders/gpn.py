"""GPN's network (Benegas, Batra and Song 2023, PNAS 120(44) e2311219120): residual dilated convolutions over one-hot bases.

A block is `x + norm(gelu(conv(x)))`, then `x + norm(gelu(linear(x)))`, in the order of the authors' released code. There is no
norm after the last block and no embedding layer: the channels of the bases are padded with zeros to the width of the network.
The built-in `dilated_conv` normalises the input of each block instead, which trains better from the start at small sizes.

Differences from the release. Its vocabulary has a channel for the mask token; here a masked base is a row of zeros. It has no
padding; here padding is set to zero before each convolution. Its masked-language-model head belongs to a loss, not here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit import alphabet
from findna_kit.components import ComponentConfig, Encoder
from findna_kit_encoders.residual import OddKernel, PowerOfTwo, convolve_valid, run_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence


class GPN(Encoder):
    """GPN: residual dilated convolutions (Benegas 2023).

    The receptive field reaches `(kernel - 1) / 2` times the sum of the dilations to either side of a base.
    """

    class Config(ComponentConfig):
        """Sizes of the network. The paper uses 512 channels and 25 blocks; the other defaults are the paper's."""

        dim: int = Field(128, ge=alphabet.CHANNELS, description="channels (paper: 512)")
        blocks: int = Field(
            6, gt=0, description="residual blocks (paper: 25); dilations double from 1 and start again after the largest"
        )
        kernel: OddKernel = Field(9, gt=0, description="kernel size of each convolution, in bases; odd")
        largest_dilation: PowerOfTwo = Field(32, gt=0, description="largest dilation of a convolution; a power of 2")

        @property
        def dilations(self) -> list[int]:
            """Return the dilation of each block: 1, 2, 4, ... up to the largest, then from 1 again."""
            cycle = self.largest_dilation.bit_length()
            return [2 ** (block % cycle) for block in range(self.blocks)]

    examples = (
        {"dim": 16, "blocks": 2},
        {"dim": 8, "blocks": 3, "kernel": 3, "largest_dilation": 2},
    )
    global_mixing = False

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim, self.depth = config.dim, config.blocks
        self.blocks = nn.ModuleList(_GPNBlock(config.dim, config.kernel, dilation) for dilation in config.dilations)

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Return embeddings [B, L, dim] and the requested hidden states, which are the outputs of the blocks."""
        # No embedding layer, as in the release: the one-hot channels are widened with zeros.
        widened = F.pad(bases, (0, self.dim - bases.shape[-1]))
        return run_blocks(self.blocks, widened, ~valid[..., None], layers)


class _GPNBlock(nn.Module):
    """`x + norm(gelu(conv(x)))`, then `x + norm(gelu(linear(x)))`; [B, L, dim] to the same shape."""

    def __init__(self, dim: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, kernel, dilation=dilation, padding="same")
        self.conv_norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim, dim)
        self.linear_norm = nn.LayerNorm(dim)
        # The released code initialises linear layers as BERT does, and leaves convolutions to torch's default.
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        x = x + self.conv_norm(F.gelu(convolve_valid(self.conv, x, padding)).transpose(1, 2))
        updated: Tensor = x + self.linear_norm(F.gelu(self.linear(x)))
        return updated

"""Building blocks that the encoders of this package share: kernel sizes, class vectors, masked convolution, the block loop.

GPN, ConvNeXt, CDIL, Hyena and Mamba are stacks of residual blocks over embedded bases. What is the same in them is here; the
blocks themselves differ in more than they share and stay in their own files. DeepSEA has no residual blocks and pools between
its convolutions, so it does not use the loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import AfterValidator
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def _require_odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError("must be odd, so that the kernel is centred on a position")
    return kernel


def _require_power_of_two(dilation: int) -> int:
    if dilation & (dilation - 1):
        raise ValueError("must be a power of 2, because dilations double from 1")
    return dilation


OddKernel = Annotated[int, AfterValidator(_require_odd)]
"""Type of a config field for the size of a kernel that is centred on its position."""

PowerOfTwo = Annotated[int, AfterValidator(_require_power_of_two)]
"""Type of a config field for the largest of a series of dilations 1, 2, 4, ..."""


def initial_class_vectors(class_tokens: int, dim: int) -> nn.Parameter:
    """Return learned vectors [class_tokens, dim] for the class tokens, drawn from a normal distribution of std 0.02."""
    return nn.Parameter(0.02 * torch.randn(class_tokens, dim))


def add_class_vectors(x: Tensor, class_vectors: Tensor) -> Tensor:
    """Add `class_vectors` [C, D] to the first C rows of embedded bases `x` [B, C + L, D].

    Class tokens of the input are zero, so without these vectors all class tokens would be equal.
    """
    classes = len(class_vectors)
    # The vectors take the type of the embeddings: under autocast those are bf16, and a sum with fp32 would widen the stack.
    return torch.cat([x[:, :classes] + class_vectors.to(x.dtype), x[:, classes:]], dim=1)


def convolve_valid(conv: nn.Conv1d, x: Tensor, padding: Tensor) -> Tensor:
    """Convolve `x` [B, L, D] along its positions, with zeros in place of padding; return [B, D', L], channels first.

    A convolution with `padding="same"` reads zeros beyond both ends. With zeros in the padding too, a sequence gives the same
    result alone and in a batch of longer ones. `conv` keeps the length; `padding` [B, L, 1] is True where `x` is padding.
    """
    convolved: Tensor = conv(x.masked_fill(padding, 0).transpose(1, 2))
    return convolved


def run_blocks(
    blocks: Iterable[nn.Module], x: Tensor, context: object, layers: Sequence[int]
) -> tuple[Tensor, dict[int, Tensor]]:
    """Apply `blocks` in order to `x`; return the last output and the outputs of the blocks whose index is in `layers`.

    Each block is called as `block(x, context)`, where `context` says which positions are padding in the form that the
    encoder's blocks need. It is computed once for the whole stack.
    """
    hidden: dict[int, Tensor] = {}
    for index, block in enumerate(blocks):
        x = block(x, context)
        if index in layers:
            hidden[index] = x
    return x, hidden

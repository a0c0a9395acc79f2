"""Prediction of single bases from encoders that give one embedding per `stride` bases.

The head predicts every base of a patch from the patch's embedding, and keeps the prediction of the wanted one. Which one that
is travels with the embedding, as a one-hot offset behind it, so that heads stay functions of their input alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from findna_kit.components.views import View

BASES = 4
"""Classes of a nucleotide head: A C G T."""


class PatchHead(nn.Module):
    """Logits over A C G T of one base of a patch, from a head that gives those of all bases of the patch."""

    def __init__(self, head: nn.Module, stride: int) -> None:
        super().__init__()
        self.head, self.stride = head, stride

    def forward(self, rows: Tensor) -> Tensor:
        """Map rows [..., D + stride], embedding and one-hot offset of the base, to logits [..., 4]."""
        embeddings, offset = rows.split([rows.shape[-1] - self.stride, self.stride], dim=-1)
        every = self.head(embeddings).unflatten(-1, (self.stride, BASES))
        logits: Tensor = (every * offset[..., None]).sum(-2)
        return logits


def masked_patches(embeddings: Tensor, view: View, stride: int, *, equivariant: bool) -> Tensor:
    """Return what nucleotide heads read at the masked positions: the embedding of the patch, and the offset in it, one-hot.

    embeddings: [B, ceil(L / stride), D]. Returns [B, M, D + stride]; for an equivariant encoder [B, M, D + 2 * stride], where
    each half of D is followed by an offset of its own.
    """
    index = view.masked_index
    if not equivariant:
        return _with_offset(embeddings, index // stride, index % stride, stride)
    forward, reverse = embeddings.chunk(2, dim=-1)
    # The second half comes from the other strand, whose patches are counted from the end of each sequence. If the stride does
    # not divide its length, they are not those of the first half.
    lengths = view.valid.sum(1, keepdim=True)
    # An unused slot may point at padding, beyond the end; its weight is 0.
    mirrored = (lengths - 1 - index).clamp(min=0)
    patch = ((lengths - 1) // stride - mirrored // stride).clamp(min=0)
    return torch.cat(
        [
            _with_offset(forward, index // stride, index % stride, stride),
            _with_offset(reverse, patch, mirrored % stride, stride),
        ],
        dim=-1,
    )


def _with_offset(embeddings: Tensor, patch: Tensor, offset: Tensor, stride: int) -> Tensor:
    """Return the embeddings of the patches [B, M], each followed by its one-hot offset: [B, M, D + stride]."""
    rows = embeddings.gather(1, patch[..., None].expand(-1, -1, embeddings.shape[-1]))
    return torch.cat([rows, F.one_hot(offset, stride).to(rows.dtype)], dim=-1)

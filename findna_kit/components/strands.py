"""Tensor functions for the two strands: reversing valid positions, complementing bases, joining an encoder's two halves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from findna_kit import alphabet

if TYPE_CHECKING:
    from torch import Tensor

    from findna_kit.components.interfaces import Encoder

_COMPLEMENT_CHANNELS = [alphabet.T, alphabet.G, alphabet.C, alphabet.A, alphabet.N]
"""For each one-hot channel A C G T N the channel of its complement."""


def reverse_valid(values: Tensor, valid: Tensor, class_rows: int) -> Tensor:
    """Reverse the order of the valid nucleotide positions; class tokens and padding keep their places.

    values: [B, C + L, D], class tokens first and padding last. valid: [B, C + L] bool, True on class tokens.
    class_rows: C, the number of class tokens. Returns a new tensor of the shape of `values`.
    """
    position = torch.arange(values.shape[1], device=values.device)[None]
    last = valid.sum(1, keepdim=True) - 1  # index of the last valid position: class tokens are valid and padding is last
    # Position `class_rows` trades places with `last`, and so on to the middle. `flip` would move padding to the front, and
    # each sequence has a length of its own.
    source = (last + class_rows - position).where((position >= class_rows) & (position <= last), position)
    return values.gather(1, source[..., None].expand(-1, -1, values.shape[2]))


def reverse_complement_bases(bases: Tensor, valid: Tensor, class_rows: int) -> Tensor:
    """Return the reverse complement of one-hot `bases` [B, C + L, 5]: positions reversed, channels complemented.

    MASK rows are zero and stay zero. valid: [B, C + L] bool. class_rows: C, the number of class tokens.
    """
    return reverse_valid(bases, valid, class_rows)[..., _COMPLEMENT_CHANNELS]


def average_halves(values: Tensor) -> Tensor:
    """Return the mean of the two halves of the last dimension, [..., 2 D] to [..., D].

    Applied to the embeddings of an equivariant encoder, the result does not depend on the strand.
    """
    first, second = values.chunk(2, dim=-1)
    return (first + second) / 2


def embedding_width(encoder: Encoder) -> int:
    """Return the embedding width that losses see: `dim`, or half of it for an equivariant encoder."""
    return encoder.dim // 2 if encoder.strand == "equivariant" else encoder.dim

"""EvoAug's augmentations (Lee et al. 2023, Genome Biology 24:105) in a Python loop over one-hot sequences [L, 5], A C G T N.

Unlike in EvoAug they compose, and reverse complement is one of them, so that the result is the kit's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

COMPLEMENT = [3, 2, 1, 0, 4]


def delete(sequence: Tensor, begin: int, filled: Tensor) -> Tensor:
    """Delete n rows from `begin` on, and add `filled` [n, 5] instead, half before the rest and half after it."""
    length = len(filled)
    half = length // 2
    return torch.cat([filled[:half], sequence[:begin], sequence[begin + length :], filled[half:]])


def insert(sequence: Tensor, begin: int, inserted: Tensor, padding: Tensor) -> Tensor:
    """Insert `inserted` [n, 5], add `padding` [most - n, 5] around the sequence, and return the central L rows."""
    before = len(padding) // 2
    grown = torch.cat([padding[:before], sequence[:begin], inserted, sequence[begin:], padding[before:]])
    cut = (len(grown) - len(sequence)) // 2
    return grown[cut : cut + len(sequence)]


def translocate(sequence: Tensor, shift: int) -> Tensor:
    """Roll the sequence to the right."""
    return torch.roll(sequence, shift, 0)


def reverse_complement(sequences: Tensor, turned: Tensor) -> Tensor:
    """Return [B, L, 5], with the reverse complement where `turned` [B]."""
    result = sequences.clone()
    result[turned] = sequences.flip(1)[..., COMPLEMENT][turned]
    return result


def teacher_view(sequences: Tensor, most: int) -> Tensor:
    """Apply deletion, insertion and translocation of up to `most` bases: [B, L, 5]."""
    return torch.stack([_shifted(sequence, most) for sequence in sequences])


def student_view(sequences: Tensor, fraction: float, deviation: float) -> tuple[Tensor, Tensor]:
    """Reverse-complement half of the sequences, mask them, add noise elsewhere; return them and the masked positions [B, M]."""
    turned = reverse_complement(sequences, torch.rand(len(sequences)) < 0.5)
    shown, index = zip(*(_masked(sequence, fraction) for sequence in turned), strict=True)
    visible = torch.stack(shown)
    noise = torch.normal(0.0, deviation, visible.shape) * visible.any(-1, keepdim=True)
    return visible + noise, torch.stack(index)


def _shifted(sequence: Tensor, most: int) -> Tensor:
    count = len(sequence)
    cut, put, shift = torch.randint(0, most + 1, (3,)).tolist()
    sequence = delete(sequence, int(torch.randint(0, count - most + 1, ())), _random(cut))
    sequence = insert(sequence, int(torch.randint(0, count, ())), _random(put), _random(most - put))
    return translocate(sequence, -shift if torch.rand(()) < 0.5 else shift)


def _masked(sequence: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
    shown = sequence.clone()
    index = torch.randperm(len(sequence))[: round(fraction * len(sequence))]
    kind = torch.rand(len(index))
    shown[index[kind < 0.8]] = 0
    drawn = index[(kind >= 0.8) & (kind < 0.9)]
    shown[drawn] = _random(len(drawn))
    return shown, index


def _random(count: int) -> Tensor:
    return F.one_hot(torch.randint(0, 4, (count,)), len(COMPLEMENT)).float()

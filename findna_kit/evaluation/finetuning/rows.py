"""A part's rows as tokens, and the batches that they are trained in: pure functions of the seed and the epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from findna_kit import alphabet, rng
from findna_kit.components.views import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

WINDOW = 16
"""Batches that are cut from rows sorted by length: enough that little is padded, few enough that an epoch stays mixed."""


class Rows:
    """Sequences encoded once, end to end in one tensor on the device; `lengths` [n] stay on the CPU."""

    def __init__(self, sequences: Sequence[str], device: torch.device) -> None:
        pieces = [alphabet.encode(sequence) for sequence in sequences]
        self.lengths = torch.tensor([len(piece) for piece in pieces], dtype=torch.int64)
        self._starts = self.lengths.cumsum(0) - self.lengths
        self._tokens = torch.from_numpy(np.concatenate(pieces)).to(device)

    def view(self, rows: Tensor, flipped: Tensor | None = None) -> View:
        """The rows [B], padded to the longest of them; the reverse complement where `flipped` [B] is True."""
        device = self._tokens.device
        length, start = self.lengths[rows], self._starts[rows].to(device)[:, None]
        at = torch.arange(int(length.max()), device=device)
        length = length.to(device)[:, None]
        valid, turned = at < length, None if flipped is None else flipped.to(device)[:, None]
        place = at if turned is None else (length - 1 - at).where(turned, at)
        tokens = self._tokens[start + place.where(valid, 0)].long()
        if turned is not None:
            tokens = alphabet.complement(tokens).where(turned, tokens)
        return View.of_windows(tokens, valid=valid)


@dataclass(frozen=True)
class Passes:
    """What goes through the network at once: `rows` of any length, or as many as have `positions` rows, class rows counted."""

    class_tokens: int
    positions: int = 0
    rows: int | None = None

    def at_once(self, length: int) -> int:
        """Sequences of that length in a pass."""
        return self.rows or max(1, self.positions // (length + self.class_tokens))

    def cut(self, rows: Tensor, lengths: Tensor) -> list[Tensor]:
        """`rows` [B] in passes, the longest first, so that those of a pass are of nearly one length. lengths: of every row."""
        ordered = rows[lengths[rows].argsort(descending=True, stable=True)]
        sizes, cut, at = lengths[ordered].tolist(), [], 0
        while at < len(sizes):
            cut.append(ordered[at : at + self.at_once(sizes[at])])
            at += len(cut[-1])
        return cut


def steps_of(count: int, batch_size: int) -> int:
    """Batches in an epoch."""
    return -(-count // batch_size)


def batches(lengths: Tensor, batch_size: int, *, seed: int, epoch: int) -> list[Tensor]:
    """The rows of each step of an epoch: every row once; sizes differ by one at most, so that no step counts a few rows."""
    count, steps = len(lengths), steps_of(len(lengths), batch_size)
    order = _shuffled(count, seed, "finetune rows", epoch)
    edges = [step * count // steps for step in range(steps + 1)]
    cut: list[Tensor] = []
    for first in range(0, steps, WINDOW):
        inside = edges[first : first + WINDOW + 1]
        window = order[inside[0] : inside[-1]]
        window = window[lengths[window].argsort(stable=True)]
        cut += window.split(np.diff(inside).tolist())
    return [cut[batch] for batch in _shuffled(steps, seed, "finetune batches", epoch).tolist()]


def flips(count: int, *, seed: int, epoch: int) -> Tensor:
    """Which rows an epoch shows as their reverse complement, with probability 1/2: [n] bool."""
    return rng.bits(rng.key(seed, "finetune strand", epoch), torch.arange(count), 1)[:, 0] < 0


def _shuffled(count: int, *key: int | str) -> Tensor:
    return rng.bits(rng.key(*key), torch.arange(count), 1)[:, 0].argsort(stable=True)

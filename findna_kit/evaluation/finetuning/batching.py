"""Encoded sequences of a split, and the batches of an epoch: pure functions of the seed and the epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from findna_kit import alphabet, rng
from findna_kit.components.views import View
from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from findna_kit.evaluation.tasks import Task

WINDOW = 16
"""Batches that are cut from samples sorted by length: enough for little padding, few enough for a well mixed epoch."""


class EncodedSequences:
    """Sequences encoded once, concatenated in one tensor on the device; `lengths` [n] stay on the CPU."""

    def __init__(self, sequences: Sequence[str], device: torch.device) -> None:
        pieces = [alphabet.encode(sequence) for sequence in sequences]
        self.lengths = torch.tensor([len(piece) for piece in pieces], dtype=torch.int64)
        self._starts = self.lengths.cumsum(0) - self.lengths
        # All sequences lie end to end in one tensor: no padding is stored, and a batch is one gather.
        self._tokens = torch.from_numpy(np.concatenate(pieces)).to(device)

    def view(self, rows: Tensor, flipped: Tensor | None = None) -> View:
        """Return the samples `rows` [B], padded to the longest; reverse-complemented where `flipped` [B] is True."""
        device = self._tokens.device
        length, start = self.lengths[rows], self._starts[rows].to(device)[:, None]
        column = torch.arange(int(length.max()), device=device)
        length = length.to(device)[:, None]
        valid, reverse = column < length, None if flipped is None else flipped.to(device)[:, None]
        position = column if reverse is None else (length - 1 - column).where(reverse, column)
        tokens = self._tokens[start + position.where(valid, 0)].long()
        if reverse is not None:
            tokens = alphabet.complement(tokens).where(reverse, tokens)
        return View.of_windows(tokens, valid=valid)


@dataclass(frozen=True)
class MicroBatching:
    """The size of a micro-batch: `rows` samples of any length, or as many as have `positions` tokens with class tokens."""

    class_tokens: int
    positions: int = 0
    rows: int | None = None

    def samples(self, length: int) -> int:
        """Return the number of samples of that length in a micro-batch."""
        return self.rows or max(1, self.positions // (length + self.class_tokens))

    def cut(self, rows: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return `rows` [B] in micro-batches. lengths: of all samples of the split.

        The longest come first, so that the samples of a micro-batch have similar lengths.
        """
        # A micro-batch holds as many positions as fit; its first sample is its longest and decides.
        ordered = rows[lengths[rows].argsort(descending=True, stable=True)]
        sizes, micro_batches, start = lengths[ordered].tolist(), [], 0
        while start < len(sizes):
            micro_batches.append(ordered[start : start + self.samples(sizes[start])])
            start += len(micro_batches[-1])
        return micro_batches


def steps_of(count: int, batch_size: int) -> int:
    """Return the number of batches in an epoch."""
    return -(-count // batch_size)


def batches(lengths: Tensor, batch_size: int, *, seed: int, epoch: int) -> list[Tensor]:
    """Return the samples of each step of an epoch, every sample once.

    Sizes differ by one at most: a small last batch would weigh as much as the others.
    """
    count, steps = len(lengths), steps_of(len(lengths), batch_size)
    order = _shuffled(count, seed, "finetune rows", epoch)
    edges = [step * count // steps for step in range(steps + 1)]
    in_order: list[Tensor] = []
    # Sorting by length within a window of batches saves padding and keeps batches nearly random.
    for first in range(0, steps, WINDOW):
        window_edges = edges[first : first + WINDOW + 1]
        window = order[window_edges[0] : window_edges[-1]]
        window = window[lengths[window].argsort(stable=True)]
        in_order += window.split(np.diff(window_edges).tolist())
    # The order of the batches is random again, or short sequences would always come first.
    return [in_order[batch] for batch in _shuffled(steps, seed, "finetune batches", epoch).tolist()]


def flips(count: int, *, seed: int, epoch: int) -> Tensor:
    """Return True [n] for the samples that an epoch shows as their reverse complement, with probability 1/2."""
    # A hash of (seed, epoch, sample): resuming needs no saved random state.
    return rng.bits(rng.key(seed, "finetune strand", epoch), torch.arange(count), 1)[:, 0] < 0


def _shuffled(count: int, *key: int | str) -> Tensor:
    return rng.bits(rng.key(*key), torch.arange(count), 1)[:, 0].argsort(stable=True)


def refuse_lengths(task: Task, bound: int | None) -> None:
    """Raise FindnaError for an empty sequence, and for one that is longer than the encoder supports."""
    for name, split in task.splits.items():
        lengths = [len(sequence) for sequence in split.sequences]
        if 0 in lengths:
            raise FindnaError(f"{task.name}: sequence {lengths.index(0)} of {name} is empty: remove it")
        longer = sum(length > bound for length in lengths) if bound is not None else 0
        if longer:
            raise FindnaError(
                f"{task.name}: {longer} of {name}'s {len(lengths)} sequences are longer than the {bound} nucleotides that the "
                f"encoder supports (the longest has {max(lengths)}); fine-tuning does not split them into windows: shorten the "
                "task's sequences, or use an encoder without a maximum length"
            )

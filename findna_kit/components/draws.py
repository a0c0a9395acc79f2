"""Random numbers for augmentations and maskings: counter-based, without a generator whose state would have to be saved."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from findna_kit import rng

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor


class Draw:
    """Random numbers for some samples of the global batch, a pure function of a key.

    The key names the seed, the step, the view and the component; `rows` [B] are the samples' indices in the global batch. Every
    call returns new numbers. A sample's numbers do not depend on which other samples are in `rows`, so that micro-batches and
    processes draw what one process would draw for the whole batch.
    """

    def __init__(self, *key: int | str, rows: Tensor) -> None:
        self._key = key
        self._rows = rows
        self._calls = 0

    def uniform(self, *shape: int) -> Tensor:
        """Return float32 numbers in [0, 1), shape [B, *shape]."""
        numbers = self._empty(shape)
        # A float32 has 24 significant bits: the upper 24 of each hash, scaled to [0, 1).
        for block, bits in self._blocks(numbers.shape[1], bits_needed=24):
            numbers[block].copy_(bits.bitwise_right_shift_(40).bitwise_and_(0xFFFFFF)).mul_(2**-24)
        return numbers.view(len(self._rows), *shape)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal float32 numbers, shape [B, *shape]; each hash gives two (Box and Muller 1958)."""
        numbers = self._empty(shape)
        count = numbers.shape[1]
        half = -(-count // 2)
        for block, bits in self._blocks(half):
            radius, angle = torch.empty(2, *bits.shape, device=bits.device)
            # One hash gives both numbers: its upper 24 bits the radius, the 24 bits below them the angle. The angle is read
            # first, because the shift for the radius overwrites the hash.
            angle.copy_((bits >> 16).bitwise_and_(0xFFFFFF)).mul_(2 * math.pi * 2**-24)
            # The radius comes from a number in (0, 1], so that its logarithm is finite.
            radius.copy_(bits.bitwise_right_shift_(40).bitwise_and_(0xFFFFFF)).add_(1).mul_(2**-24).log_().mul_(-2).sqrt_()
            torch.mul(radius, angle.cos(), out=numbers[block, :half])
            torch.mul(radius[:, : count - half], angle[:, : count - half].sin_(), out=numbers[block, half:])
        return numbers.view(len(self._rows), *shape)

    def integers(self, low: int | Tensor, high: int | Tensor, *shape: int) -> Tensor:
        """Return int64 numbers in [low, high), shape [B, *shape]; tensor bounds broadcast to that shape.

        Raises ValueError for an empty range. Tensor bounds are not checked, since that would wait for the device: equal ones
        give `low`.
        """
        if isinstance(low, int) and isinstance(high, int) and low >= high:
            raise ValueError(f"there is no integer in [{low}, {high}): high must be greater than low")
        if (
            isinstance(low, int)
            and isinstance(high, int)
            and (power := (high - low).bit_length() - 1)
            and high - low == 1 << power
        ):
            # For a range of a power of two: its first bits, which equal what the scaled fraction below would give, only faster.
            # The smallest power is 1. A range of one number is left to the code below, because a shift by 64 bits is undefined.
            numbers = self._empty(shape, torch.int64)
            for block, bits in self._blocks(numbers.shape[1], bits_needed=power):
                torch.bitwise_and(bits.bitwise_right_shift_(64 - power), (1 << power) - 1, out=numbers[block])
            return numbers.view(len(self._rows), *shape).add_(low) if low else numbers.view(len(self._rows), *shape)
        # A float64 has 53 significant bits: the bias of scaling a fraction is far below what could be measured.
        fraction = self._empty(shape, torch.float64)
        for block, bits in self._blocks(fraction.shape[1]):
            fraction[block].copy_(bits.bitwise_right_shift_(11).bitwise_and_((1 << 53) - 1)).mul_(2**-53)
        return low + (fraction.view(len(self._rows), *shape) * (high - low)).long()

    def _empty(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Allocate [B, numbers per sample]."""
        return torch.empty(len(self._rows), math.prod(shape), dtype=dtype, device=self._rows.device)

    def _blocks(self, count: int, bits_needed: int = 64) -> Iterator[tuple[slice, Tensor]]:
        """Yield random bits in blocks; each call counts as a draw, so that two draws differ."""
        self._calls += 1
        return rng.blocks(rng.key(*self._key, self._calls), self._rows, count, bits_needed)

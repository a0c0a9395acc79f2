"""Random numbers without state: every number is a hash of a key, a sample's index and a position.

SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), used as a counter-based
generator. A sample's numbers depend on the key and on its index alone. So any slice of a global batch can be drawn anywhere, on
any device, by any process, with the same result, and there is no generator to save.
"""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

# The constants of SplitMix64: the increment of its counter, and the factors of its two multiplications.
_GAMMA = 0x9E3779B97F4A7C15
_FACTOR_1 = 0xBF58476D1CE4E5B9
_FACTOR_2 = 0x94D049BB133111EB

_BLOCK = 1 << 15
"""Numbers per block on a CPU: they fit into its cache, and torch uses one thread for so few, which waits for no other."""


def key(*parts: int | str) -> int:
    """Return a signed 64-bit key of the parts, the same on every machine and in every Python version."""
    # The type is part of the key: 1 and "1" differ. The separator keeps ("ab", "c") apart from ("a", "bc").
    digest = blake2b("\x1f".join(f"{type(part).__name__}:{part}" for part in parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def bits(stream: int, indices: Tensor, count: int) -> Tensor:
    """Return `count` random 64-bit integers for each sample: int64 [B, count], on the device of `indices`.

    stream: a key. indices: [B] int64, the samples' indices in the global batch.
    """
    numbers = torch.empty(len(indices), count, dtype=torch.int64, device=indices.device)
    for part, block in blocks(stream, indices, count):
        numbers[part] = block
    return numbers


def blocks(stream: int, indices: Tensor, count: int, bits_needed: int = 64) -> Iterator[tuple[slice, Tensor]]:
    """Yield the numbers of `bits` a block of samples at a time, as (slice of the batch, [samples, count]).

    A block is overwritten by the next one, and the caller may overwrite it too.
    bits_needed: how many of the upper bits of each number the caller uses; lower bits may be wrong, which saves work.
    """
    # The start of each sample's stream is hashed as well. Without that, sample i + 1 would get the numbers of sample i
    # shifted by one position, because both counters grow by the same increment.
    starts = _mix(indices * _signed(_GAMMA) + stream, torch.empty_like(indices))
    # From 1, as SplitMix64 adds the increment before each number. Products overflow on purpose: int64 wraps modulo 2^64.
    counter = torch.arange(1, count + 1, device=indices.device) * _signed(_GAMMA)
    slices = batch_slices(len(indices), count, indices.device)
    state = torch.empty(slices[0].stop if slices else 0, count, dtype=torch.int64, device=indices.device)
    spare = torch.empty_like(state)
    for part in slices:
        size = part.stop - part.start
        torch.add(counter, starts[part, None], out=state[:size])  # with the operands swapped it takes twice as long
        yield part, _mix(state[:size], spare[:size], bits_needed)


def batch_slices(batch: int, width: int, device: torch.device, numbers: int = _BLOCK) -> list[slice]:
    """Cut a batch of `batch` samples of `width` numbers into slices of about `numbers` numbers; on a GPU into one slice."""
    size = max(1, numbers // max(1, width)) if device.type == "cpu" else max(1, batch)
    return [slice(start, min(start + size, batch)) for start in range(0, batch, size)]


@contextmanager
def torch_seed(*parts: int | str, device: torch.device) -> Iterator[None]:
    """Seed torch's own generators (dropout, initial weights) by a key of the parts; restore their state on exit."""
    seed = key(*parts) & (2**63 - 1)
    # Only the generators that are seeded below: by default fork_rng saves and restores those of every GPU.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        # torch.manual_seed formats the stack for every kind of device that is not in use: a millisecond of every step.
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            number = torch.cuda.current_device() if device.index is None else device.index
            torch.cuda.default_generators[number].manual_seed(seed)
        yield


def _mix(state: Tensor, spare: Tensor, bits_needed: int = 64) -> Tensor:
    """Apply the finaliser of SplitMix64 in place; `spare` is scratch memory of the same shape."""
    _xor_shift(state, 30, spare).mul_(_signed(_FACTOR_1))
    _xor_shift(state, 27, spare).mul_(_signed(_FACTOR_2))
    return _xor_shift(state, 31, spare) if bits_needed > 31 else state  # the last step leaves the upper 31 bits unchanged


def _xor_shift(state: Tensor, shift: int, spare: Tensor) -> Tensor:
    """Compute `state ^ (state >> shift)` in place, with an unsigned shift."""
    # torch has no unsigned integers: the copies of the sign bit that >> shifts in are cut off.
    torch.bitwise_right_shift(state, shift, out=spare)
    return state.bitwise_xor_(spare.bitwise_and_((1 << (64 - shift)) - 1))


def _signed(value: int) -> int:
    """Return the int64 with the bits of an unsigned 64-bit integer."""
    return value - 2**64 if value >= 2**63 else value

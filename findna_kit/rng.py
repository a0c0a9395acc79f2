"""Randomness without state: every number is a hash of a key, a row and a position.

SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) used as a counter-based
generator. A row's numbers depend on nothing but the key and the row, so any slice of a global batch can be drawn anywhere, on
any device, by any process, with the same result; there is no generator to save.
"""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

_GAMMA = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_BLOCK = 1 << 15
"""Numbers at once on a CPU: they stay in its cache, and torch takes one thread for so few, which waits for no other."""


def key(*parts: int | str) -> int:
    """A signed 64-bit key of the parts, the same on every machine and in every Python."""
    digest = blake2b("\x1f".join(f"{type(part).__name__}:{part}" for part in parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def bits(stream: int, rows: Tensor, count: int) -> Tensor:
    """`count` random 64-bit integers (int64) for each of `rows` [B]: shape [B, count], on the device of `rows`."""
    drawn = torch.empty(len(rows), count, dtype=torch.int64, device=rows.device)
    for part, block in blocks(stream, rows, count):
        drawn[part] = block
    return drawn


def blocks(stream: int, rows: Tensor, count: int, first: int = 64) -> Iterator[tuple[slice, Tensor]]:
    """The same some rows at a time, with their place among `rows`; the next block is written over the last one.

    first: how many of the first bits of each are asked for; the others may be wrong, and anybody may write over a block.
    """
    starts = _mix(rows * _signed(_GAMMA) + stream, torch.empty_like(rows))
    counter = torch.arange(1, count + 1, device=rows.device) * _signed(_GAMMA)
    places = parts(len(rows), count, rows.device)
    state = torch.empty(places[0].stop if places else 0, count, dtype=torch.int64, device=rows.device)
    spare = torch.empty_like(state)
    for part in places:
        size = part.stop - part.start
        torch.add(counter, starts[part, None], out=state[:size])  # the other way round it takes twice as long
        yield part, _mix(state[:size], spare[:size], first)


def parts(rows: int, width: int, device: torch.device, numbers: int = _BLOCK) -> list[slice]:
    """Some of `rows` rows of that width at a time, up to about `numbers` of them on a CPU; elsewhere all at once."""
    most = max(1, numbers // max(1, width)) if device.type == "cpu" else max(1, rows)
    return [slice(at, min(at + most, rows)) for at in range(0, rows, most)]


@contextmanager
def torch_seed(*parts: int | str, device: torch.device) -> Iterator[None]:
    """Seeds torch's own generators (dropout, initial weights) by the parts, and puts them back afterwards."""
    seed = key(*parts) & (2**63 - 1)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        # Not torch.manual_seed: for each kind of device that is not in use it formats the stack, a millisecond of every step.
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            number = torch.cuda.current_device() if device.index is None else device.index
            torch.cuda.default_generators[number].manual_seed(seed)
        yield


def _mix(state: Tensor, spare: Tensor, first: int = 64) -> Tensor:
    """In place; `spare` is as large."""
    _fold(state, 30, spare).mul_(_signed(_FIRST))
    _fold(state, 27, spare).mul_(_signed(_SECOND))
    return _fold(state, 31, spare) if first > 31 else state  # which leaves the first 31 bits as they are


def _fold(state: Tensor, by: int, spare: Tensor) -> Tensor:
    # torch has no unsigned arithmetic: the sign bits that >> drags in are cut off.
    torch.bitwise_right_shift(state, by, out=spare)
    return state.bitwise_xor_(spare.bitwise_and_((1 << (64 - by)) - 1))


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value

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


def key(*parts: int | str) -> int:
    """A signed 64-bit key of the parts, the same on every machine and in every Python."""
    digest = blake2b("\x1f".join(f"{type(part).__name__}:{part}" for part in parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def bits(stream: int, rows: Tensor, count: int) -> Tensor:
    """`count` random 64-bit integers (int64) for each of `rows` [B]: shape [B, count], on the device of `rows`."""
    starts = _mix(rows * _signed(_GAMMA) + stream)
    counter = torch.arange(1, count + 1, device=rows.device) * _signed(_GAMMA)
    return _mix(starts[:, None] + counter)


@contextmanager
def torch_seed(*parts: int | str, device: torch.device) -> Iterator[None]:
    """Seeds torch's own generators (dropout, initial weights) by the parts, and puts them back afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(key(*parts) & (2**63 - 1))
        yield


def _mix(state: Tensor) -> Tensor:
    state = (state ^ _shift(state, 30)) * _signed(_FIRST)
    state = (state ^ _shift(state, 27)) * _signed(_SECOND)
    return state ^ _shift(state, 31)


def _shift(state: Tensor, by: int) -> Tensor:
    # torch has no unsigned arithmetic: the sign bits that >> drags in are cut off.
    return (state >> by) & ((1 << (64 - by)) - 1)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value

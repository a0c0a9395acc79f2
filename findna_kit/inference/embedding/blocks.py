"""Blocks of sequences: what is computed at once, held in memory, and lost by a kill."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROWS, BASES = 1024, 1 << 20
"""Largest number of sequences and of bases in a block."""
PER_BASE = 1 << 16
"""Largest number of bases in a block if each base gets an embedding of its own."""

Item = TypeVar("Item")


def blocks(items: Iterable[Item], bases: Callable[[Item], int], limit: int | None = None) -> Iterator[list[Item]]:
    """Group items into blocks; bases: the length of an item's sequence; limit: bases in a block, by default BASES.

    Starting at the first item of any block gives the same blocks, so that resuming is exact.
    """
    most = BASES if limit is None else limit
    block: list[Item] = []
    total = 0
    for item in items:
        # A sequence longer than the limit is a block of its own.
        if block and (len(block) == ROWS or total + bases(item) > most):
            yield block
            block, total = [], 0
        block.append(item)
        total += bases(item)
    if block:
        yield block

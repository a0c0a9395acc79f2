"""Blocks of sequences: what is computed at once, held in memory, and lost by a kill."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROWS, BASES = 1024, 1 << 20
"""Largest number of sequences and of bases in a block."""

Item = TypeVar("Item")


def blocks(items: Iterable[Item], bases: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Group items into blocks; bases: the length of an item's sequence.

    Starting at the first item of any block gives the same blocks, so that resuming is exact.
    """
    block: list[Item] = []
    total = 0
    for item in items:
        # A sequence longer than BASES is a block of its own.
        if block and (len(block) == ROWS or total + bases(item) > BASES):
            yield block
            block, total = [], 0
        block.append(item)
        total += bases(item)
    if block:
        yield block

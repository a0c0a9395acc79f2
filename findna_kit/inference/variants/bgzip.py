"""Blocked gzip (SAM specification, 4.1), which gunzip reads and tabix indexes."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK = 0xFF00
"""Bytes in a block before packing: so that one that cannot be packed still has a size of 16 bits."""
_HEAD = struct.Struct("<4BI2BH2B2H")


class BlockGzip:
    """Packs what is written to it, block by block, into a file that somebody else closes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._held = file, bytearray()

    def write(self, data: bytes) -> None:
        """Takes any number of bytes; holds less than a block of them."""
        self._held += data
        while len(self._held) >= _BLOCK:
            self._file.write(_packed(bytes(self._held[:_BLOCK])))
            del self._held[:_BLOCK]

    def finish(self) -> None:
        """The last bytes, and the empty block that says that nothing is missing."""
        if self._held:
            self._file.write(_packed(bytes(self._held)))
        self._file.write(_packed(b""))


def is_truncated(path: Path) -> bool:
    """Whether a file is blocked gzip without its empty last block; gunzip would not say so."""
    end = _packed(b"")
    with path.open("rb") as file:
        start = file.read(_HEAD.size)
        if start[:4] != end[:4] or start[12:14] != end[12:14]:
            return False
        file.seek(max(0, path.stat().st_size - len(end)))
        return file.read() != end


def _packed(data: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(data) + packer.flush()
    size = _HEAD.size + len(packed) + 8
    # No time and no system in the head: the same scores are the same bytes.
    head = _HEAD.pack(0x1F, 0x8B, 8, 4, 0, 0, 0xFF, 6, ord("B"), ord("C"), 2, size - 1)
    return head + packed + struct.pack("<2I", zlib.crc32(data), len(data))

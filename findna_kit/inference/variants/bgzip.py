"""Writing of blocked gzip (bgzip; SAM specification, section 4.1), which gunzip reads and tabix indexes."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK = 0xFF00
"""Bytes of a block before compression: small enough that the size of an incompressible block still fits 16 bits."""
_HEAD = struct.Struct("<4BI2BH2B2H")


class BlockGzip:
    """Compresses bytes block by block into an open file, which the caller closes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._buffer = file, bytearray()

    def write(self, data: bytes) -> None:
        """Write any number of bytes; buffer less than a block of them."""
        self._buffer += data
        while len(self._buffer) >= _BLOCK:
            self._file.write(_compressed(bytes(self._buffer[:_BLOCK])))
            del self._buffer[:_BLOCK]

    def finish(self) -> None:
        """Write the remaining bytes and the empty block that marks the end of a complete file."""
        if self._buffer:
            self._file.write(_compressed(bytes(self._buffer)))
        self._file.write(_compressed(b""))


def is_truncated(path: Path) -> bool:
    """Return whether a file is blocked gzip without the empty last block, which gunzip would not report."""
    end = _compressed(b"")
    with path.open("rb") as file:
        start = file.read(_HEAD.size)
        if start[:4] != end[:4] or start[12:14] != end[12:14]:
            return False
        # The empty block is the last of every complete file.
        file.seek(max(0, path.stat().st_size - len(end)))
        return file.read() != end


def _compressed(data: bytes) -> bytes:
    """Return one block."""
    # Negative bits give a raw deflate stream: the header, which needs the extra field with the size of the block, and the
    # checksum are written here.
    compressor = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    payload = compressor.compress(data) + compressor.flush()
    size = _HEAD.size + len(payload) + 8
    # Without time and operating system in the header, equal scores give equal files.
    head = _HEAD.pack(0x1F, 0x8B, 8, 4, 0, 0, 0xFF, 6, ord("B"), ord("C"), 2, size - 1)
    return head + payload + struct.pack("<2I", zlib.crc32(data), len(data))

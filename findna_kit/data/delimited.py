"""Reading of delimited text: CSV and TSV, plain or gzip."""

from __future__ import annotations

import csv
import gzip
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO


def open_text(path: Path) -> TextIO:
    """Open a UTF-8 text file, decompressing it if its name ends in .gz; skip a byte order mark."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


@contextmanager
def unlimited_field_size() -> Iterator[None]:
    """Let the csv module read fields longer than its default of 131,072 characters.

    The limit is a global of the csv module; it is restored on exit.
    """
    # The csv module takes a C long, which has 32 bits on some platforms.
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)

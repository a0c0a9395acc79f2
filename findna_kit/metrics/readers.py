"""metrics.jsonl from its end: of a long run only the last rows are read."""

from __future__ import annotations

import json
import mmap
from typing import TYPE_CHECKING, Any

from findna_kit.errors import FindnaError
from findna_kit.metrics.writers import FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def newest_rows(run: Path, having: str | None = None) -> Iterator[dict[str, Any]]:
    """Whole rows, the newest first; `having`: only those that have a metric of that name; none where there is no file.

    A last line cut short by a kill is left out. Raises FindnaError for a row that is damaged.
    """
    path = run / FILE
    if not path.exists() or not path.stat().st_size:  # which cannot be mapped
        return
    wanted = b"" if having is None else json.dumps(having).encode() + b": "
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        end = text.rfind(b"\n")
        while end > 0:
            # Found before it is read: a name that no row has costs no parsing.
            found = text.rfind(wanted, 0, end) if wanted else end - 1
            if found < 0:
                return
            start = text.rfind(b"\n", 0, found + 1) + 1
            yield _row(text[start : text.find(b"\n", found)], path)
            end = start - 1


def _row(line: bytes, path: Path) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict) or not isinstance(row.get("step"), int):
        raise FindnaError(f"{path}: holds a row that is no metrics of a step; restore the file from a copy")
    return row

"""Reading metrics.jsonl from its end, so that only the last rows of a long run are parsed."""

from __future__ import annotations

import json
import mmap
from typing import TYPE_CHECKING

from findna_kit.metrics.writers import FILE, MetricsRow, damaged_row, parse_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def newest_rows(run: Path, having: str | None = None) -> Iterator[MetricsRow]:
    """Yield the rows of a run, newest first; nothing if there is no file.

    having: yield only rows with a metric of that name. Blank lines and a last line that a kill cut short are skipped. Raises
    FindnaError that names the line of a damaged row.
    """
    path = run / FILE
    if not path.exists() or not path.stat().st_size:  # an empty file cannot be memory-mapped
        return
    # As json.dumps writes a key in a row; its opening quotation mark keeps `loss` from matching `masked/loss`.
    key = b"" if having is None else json.dumps(having).encode() + b": "
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        end = text.rfind(b"\n")
        while end > 0:
            # Search for the key before parsing, since most rows may not have the metric.
            position = text.rfind(key, 0, end) if key else end - 1
            if position < 0:
                return
            start = text.rfind(b"\n", 0, position + 1) + 1
            line = text[start : text.find(b"\n", position)]
            if line.strip():
                if (row := parse_row(line)) is None:
                    raise damaged_row(path, text[:start].count(b"\n") + 1)
                yield row
            end = start - 1

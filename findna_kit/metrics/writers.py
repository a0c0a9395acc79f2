"""Writing metrics to metrics.jsonl, one JSON object per logged step, and to TensorBoard."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any

from findna_kit.atomic import atomic_write
from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MetricsRow = dict[str, Any]
"""One logged step: `step` is an int, every other value a float, or None if it was not finite."""
FILE, BOARD = "metrics.jsonl", "tensorboard"


class MetricsWriter:
    """Appends rows to the metrics of a run. metrics.jsonl is authoritative; TensorBoard gets a copy.

    Rows after `step` are dropped first, so that the file of a resumed run equals that of an uninterrupted one.
    """

    def __init__(self, run: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import, and reading a run does not need it

        self._path = run / FILE
        kept = [row for row in read_rows(run) if row["step"] <= step]
        with atomic_write(self._path) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in kept))
        # Line-buffered: a run can be followed while it trains, and a kill cuts at most its last row short.
        self._file = self._path.open("a", buffering=1)
        # The event files of an earlier process stay. purge_step hides the steps in them that this process repeats.
        self._board = SummaryWriter(str(run / BOARD), purge_step=step + 1)

    def write(self, row: Mapping[str, float]) -> None:
        """Append one row, which has its `step`."""
        # JSON has no infinity and no NaN.
        finite = {name: value if math.isfinite(value) else None for name, value in row.items()}
        self._file.write(json.dumps(finite) + "\n")
        for name, value in row.items():
            if name != "step":
                self._board.add_scalar(name, value, row["step"])

    def sync(self) -> None:
        """Wait until all rows are on the disk; called before a checkpoint that counts on them."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close both files."""
        self._file.close()
        self._board.close()


def read_rows(run: Path) -> list[MetricsRow]:
    """Return every row; blank lines and a last line that a kill cut short are skipped.

    Raises FindnaError that names the line of a damaged row.
    """
    path = run / FILE
    if not path.exists():
        return []
    # In bytes, because a damaged file may hold some that are not UTF-8; and only \n ends a row.
    *lines, _ = path.read_bytes().split(b"\n")
    rows = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            if (row := parse_row(line)) is None:
                raise damaged_row(path, number)
            rows.append(row)
    return rows


def parse_row(line: bytes) -> MetricsRow | None:
    """Return the row of a line, or None if the line is not a JSON object with a step."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):  # deeply nested JSON exceeds the recursion limit
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) and row["step"] >= 0 else None


def damaged_row(path: Path, number: int) -> FindnaError:
    """Return the error for a line, counted from 1, that is not a row of metrics."""
    return FindnaError(f"{path}: line {number} is not a row of metrics; restore the file from a copy, or remove the line")

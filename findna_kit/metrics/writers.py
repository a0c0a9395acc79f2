"""metrics.jsonl is the truth, one object a row; TensorBoard shows the same numbers."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any

from findna_kit.atomic import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE, BOARD = "metrics.jsonl", "tensorboard"


class MetricsWriter:
    """Appends rows of a run; rows after `step` are dropped first, so that a resumed run's file is an uninterrupted one's."""

    def __init__(self, run: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # a second of imports that reading a run does not need

        self._path = run / FILE
        kept = [row for row in read_rows(run) if row["step"] <= step]
        with atomic_write(self._path) as beside:
            beside.write_text("".join(json.dumps(row) + "\n" for row in kept))
        self._file = self._path.open("a", buffering=1)
        self._board = SummaryWriter(str(run / BOARD), purge_step=step + 1)

    def write(self, row: Mapping[str, Any]) -> None:
        """One row; `step` is its clock."""
        # JSON has no word for what is not finite.
        finite = {name: value if math.isfinite(value) else None for name, value in row.items()}
        self._file.write(json.dumps(finite) + "\n")
        for name, value in row.items():
            if name != "step":
                self._board.add_scalar(name, value, row["step"])

    def sync(self) -> None:
        """On disk before a checkpoint says that these rows are there."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Ends both files."""
        self._file.close()
        self._board.close()


def read_rows(run: Path) -> list[dict[str, Any]]:
    """Every whole row; a last line cut short by a kill is left out."""
    path = run / FILE
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n") and line.strip()]

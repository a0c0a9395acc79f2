"""Results of benchmarks: rows, the table, the machine, JSON."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from findna_kit.atomic import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.turns import Spread

AS_WRITTEN = "as written"
IMPROVED = "improved"
"""The reference after an hour's improvements: micro-batches, a look-up table."""


@dataclass(frozen=True)
class Row:
    """One measurement, by column.

    bar: the limit for the first column, at least that ratio or, with `most`, at most that many seconds.
    """

    what: str
    figures: Mapping[str, Spread]
    bar: float | None = None
    most: bool = False

    @property
    def met(self) -> bool:
        """Return whether the limit is met; True if there is none."""
        if self.bar is None:
            return True
        figure = next(iter(self.figures.values())).median
        return figure <= self.bar if self.most else figure >= self.bar

    def plain(self) -> dict[str, Any]:
        """Return the row for JSON."""
        figures = {column: spread.plain() for column, spread in self.figures.items()}
        return {"what": self.what, "figures": figures, "bar": self.bar, "unit": "s" if self.most else "times", "met": self.met}


def machine() -> dict[str, Any]:
    """Return the machine and the versions of a measurement."""
    return {
        "processor": _processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__,
        "numpy": np.__version__, "python": platform.python_version(), "system": platform.platform(terse=True),
    }  # fmt: skip


HEADER = "| what | as written | improved | bar | |\n| --- | --- | --- | --- | --- |"


def line(row: Row) -> str:
    """Return the row as a line of a Markdown table under HEADER."""
    unit = " s" if row.most else "x"
    first, *rest = [_shown(spread, unit) for spread in row.figures.values()]
    bar = "" if row.bar is None else f"{'at most' if row.most else 'at least'} {row.bar:g}{unit}"
    verdict = "" if row.bar is None else "met" if row.met else "MISSED"
    return f"| {row.what} | {first} | {rest[0] if rest else ''} | {bar} | {verdict} |"


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write the results as JSON."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps({"machine": machine(), "rows": [row.plain() for row in rows]}, indent=1) + "\n")


def _shown(spread: Spread, unit: str) -> str:
    return f"{spread.median:.3g}{unit} ({min(spread.rounds):.3g}-{max(spread.rounds):.3g})"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    named = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.is_file() else []
    return named[0].partition(":")[2].strip() if named else platform.processor()

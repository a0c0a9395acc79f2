"""Reading of metrics.jsonl into series of bounded size: steps are binned, and the extremes of each bin are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError
from findna_kit.metrics.writers import FILE, damaged_row, parse_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from findna_kit.report.figures.curves import Point


@dataclass(slots=True)
class Bin:
    """Summary of a series over some neighbouring steps."""

    rows: int
    steps: float
    """Sum of the steps."""
    values: float
    """Sum of the values."""
    low: Point
    high: Point


@dataclass(slots=True)
class Series:
    """Series of one metric. rows: those with a finite value; not_finite: the others, which leave a gap in the curve."""

    rows: int = 0
    total: float = 0.0
    first: Point | None = None
    last: Point | None = None
    low: Point | None = None
    high: Point | None = None
    not_finite: int = 0
    bins: dict[int, Bin | None] = field(default_factory=dict)
    """By the number of the bin; None for a bin that has rows, of which none is finite."""

    def add(self, step: int, value: float | None, bin_number: int) -> None:
        """Add the value of one row."""
        if value is None or not math.isfinite(value):  # JSON has no nan, so it is written as null
            self.not_finite += 1
            self.bins.setdefault(bin_number, None)
            return
        point = (float(step), float(value))
        # Updated in place, without lists of values: a long run has millions of rows.
        self.rows += 1
        self.total += value
        self.last = point
        if self.first is None or self.low is None or self.high is None:
            self.first = self.low = self.high = point
        elif value < self.low[1]:
            self.low = point
        elif value > self.high[1]:
            self.high = point
        found = self.bins.get(bin_number)
        if found is None:
            self.bins[bin_number] = Bin(1, step, value, point, point)
            return
        found.rows += 1
        found.steps += step
        found.values += value
        if value < found.low[1]:
            found.low = point
        elif value > found.high[1]:
            found.high = point

    @property
    def thinned(self) -> bool:
        """Return whether a bin summarises several rows."""
        return any(found is not None and found.rows > 1 for found in self.bins.values())

    def pieces(self) -> list[list[Point]]:
        """Return the lowest and highest point of each bin, in order, split where no value is finite."""
        pieces: list[list[Point]] = [[]]
        for number in sorted(self.bins):
            found = self.bins[number]
            if found is None:
                pieces.append([])
            else:
                # Sorted by step, so that the line never runs backwards; a set, because a bin of one row has a single point.
                pieces[-1] += sorted({found.low, found.high})
        return [piece for piece in pieces if piece]


def read_series(run: Path, width: int) -> dict[str, Series]:
    """Return every metric's series, in bins of `width` steps, in the order of their first appearance.

    The file is read line by line, so memory does not grow with its length. An incomplete last line, as a killed run leaves it,
    is ignored. Raises FindnaError for a line that is not a row of metrics.
    """
    series: dict[str, Series] = {}
    path = run / FILE
    if not path.is_file():
        return series
    for number, line in _lines(path):
        if (row := parse_row(line)) is None:
            raise damaged_row(path, number)
        step = row["step"]
        for name, value in row.items():
            # bool is a subclass of int, and plugins may log one; it is not a number to draw.
            if name == "step" or isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
                continue
            if name not in series:
                series[name] = Series()
            series[name].add(step, value, step // width)
    return series


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield each complete line with its number, from 1."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n") and line.strip():  # without a newline, the line was not written to its end
                    yield number, line
    except OSError as error:
        raise FindnaError(f"{path}: cannot be read: {error.strerror}") from error

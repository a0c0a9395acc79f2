"""metrics.jsonl as a page needs it: every series in so many stretches of steps, its extremes kept, however long it is."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError
from findna_kit.metrics.writers import FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from findna_kit.report.figures.curves import Point


@dataclass(slots=True)
class Stretch:
    """What a series did in some neighbouring steps."""

    rows: int
    steps: float
    """Their sum."""
    values: float
    low: Point
    high: Point


@dataclass(slots=True)
class Series:
    """One metric. not_finite: rows in which it was none; those leave a gap."""

    rows: int = 0
    total: float = 0.0
    first: Point | None = None
    last: Point | None = None
    low: Point | None = None
    high: Point | None = None
    not_finite: int = 0
    stretches: dict[int, Stretch | None] = field(default_factory=dict)
    """By the number of the stretch; None where it has rows, and none is finite."""

    def add(self, step: int, value: float | None, stretch: int) -> None:
        """One row's value."""
        if value is None or not math.isfinite(value):
            self.not_finite += 1
            self.stretches.setdefault(stretch, None)
            return
        point = (float(step), float(value))
        self.rows += 1
        self.total += value
        self.last = point
        if self.first is None or self.low is None or self.high is None:
            self.first = self.low = self.high = point
        elif value < self.low[1]:
            self.low = point
        elif value > self.high[1]:
            self.high = point
        found = self.stretches.get(stretch)
        if found is None:
            self.stretches[stretch] = Stretch(1, step, value, point, point)
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
        """Whether a stretch stands for several rows."""
        return any(one is not None and one.rows > 1 for one in self.stretches.values())

    def pieces(self) -> list[list[Point]]:
        """Its lowest and highest point in each stretch, in their order, parted where nothing was finite."""
        pieces: list[list[Point]] = [[]]
        for number in sorted(self.stretches):
            found = self.stretches[number]
            if found is None:
                pieces.append([])
            else:
                pieces[-1] += sorted({found.low, found.high})
        return [piece for piece in pieces if piece]


def read_series(run: Path, width: int) -> dict[str, Series]:
    """Every metric's series, in the order in which they first stand in the file, in stretches of `width` steps.

    The file is read once, and no more of it is kept. A last line that a kill cut short is left out. FindnaError for a line that
    is no row.
    """
    series: dict[str, Series] = {}
    path = run / FILE
    if not path.is_file():
        return series
    for number, line in _lines(path):
        step, row = _parsed(path, f"line {number}", line)
        for name, value in row.items():
            if name == "step" or isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
                continue
            if name not in series:
                series[name] = Series()
            series[name].add(step, value, step // width)
    return series


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n") and line.strip():
                    yield number, line
    except OSError as error:
        raise FindnaError(f"{path}: cannot be read: {error.strerror}") from error


def _parsed(path: Path, where: str, line: bytes) -> tuple[int, Mapping[str, object]]:
    wrong = f"{path}: {where} is no row of metrics; restore it from a copy, or take it out"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FindnaError(wrong) from error
    if not isinstance(row, dict) or not isinstance(row.get("step"), int) or row["step"] < 0:
        raise FindnaError(wrong)
    return row["step"], row

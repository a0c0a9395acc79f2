"""Runs that a page draws as one: a run alone, or those of a condition, which differ in their seeds."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from findna_kit.report.figures.curves import Curve
from findna_kit.report.metrics import Series, read_series

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.report.figures.curves import Point
    from findna_kit.report.folders import Run

_POINTS, _MOST, _LEAST = 2400, 240, 30
"""Stretches of steps that all curves of a panel have together, and that one has at most and at least: a page's size."""


@dataclass(frozen=True)
class Group:
    """What is drawn by one line. place: which; series: of each of its runs, by metric."""

    label: str
    place: int
    runs: Sequence[Run]
    series: Sequence[dict[str, Series]]

    def of(self, metric: str) -> list[Series]:
        """That metric's series, of the runs that have a value of it."""
        return [found for own in self.series if (found := own.get(metric)) is not None and found.rows]

    def curve(self, metric: str) -> Curve | None:
        """One run's own line, or the mean over several with the range of their values; None where there is nothing to draw."""
        found = self.of(metric)
        if len(found) < 2:
            return Curve(self.place, found[0].pieces()) if found else None
        line: list[Point] = []
        band = []
        for number in sorted(set.intersection(*(set(one.stretches) for one in found))):
            own = [stretch for one in found if (stretch := one.stretches[number]) is not None]
            if len(own) == len(found):
                step = fmean(one.steps / one.rows for one in own)
                line.append((step, fmean(one.values / one.rows for one in own)))
                band.append((step, min(one.low[1] for one in own), max(one.high[1] for one in own)))
        return Curve(self.place, [line], band) if line else None

    @property
    def words(self) -> str:
        """What the line is called: how many runs it stands for, if several."""
        return self.label if len(self.runs) == 1 else f"{self.label} ({len(self.runs)} seeds)"


def grouped(named: Sequence[tuple[str, Sequence[Run]]]) -> tuple[list[Group], int]:
    """Groups by label, their metrics read; and the last step that any of their runs has."""
    steps = max((run.last_step or 0 for _, runs in named for run in runs), default=0)
    stretches = max(_LEAST, min(_MOST, _POINTS // max(1, len(named))))
    width = -(-(steps + 1) // stretches)
    groups = [
        Group(label, place, runs, [read_series(run.folder, width) for run in runs]) for place, (label, runs) in enumerate(named)
    ]
    return groups, steps


def labels_of(folders: Sequence[str]) -> list[str]:
    """Of paths the fewest last parts that tell each from all others. Paths are different."""
    parts = [folder.split("/") for folder in folders]
    labels = []
    for own in parts:
        others = [other for other in parts if other is not own]
        count = next(n for n in range(1, len(own) + 1) if n == len(own) or all(other[-n:] != own[-n:] for other in others))
        labels.append("/".join(own[-count:]))
    return labels

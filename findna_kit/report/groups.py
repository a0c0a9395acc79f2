"""Groups of runs that a page draws as one series: a single run, or the runs of a condition, which differ in their seeds."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from findna_kit.report.figures.curves import Curve
from findna_kit.report.metrics import Series, read_series

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.report.figures.curves import Point
    from findna_kit.report.folders import RunFolder

_POINTS, _MAX_BINS, _MIN_BINS = 2400, 240, 30
"""Bins of steps that all curves of a panel have together, and those of one curve at most and at least.

They bound the size of a page, however long the runs are.
"""


@dataclass(frozen=True)
class Group:
    """Runs that share one line. index: selects the style; series: of each run, by metric."""

    label: str
    index: int
    runs: Sequence[RunFolder]
    series: Sequence[dict[str, Series]]

    def of(self, metric: str) -> list[Series]:
        """Return the metric's series, of the runs that have finite values of it."""
        return [found for by_metric in self.series if (found := by_metric.get(metric)) is not None and found.rows]

    def curve(self, metric: str) -> Curve | None:
        """Return a single run's line, or the mean over several runs with the range of their values; None without values."""
        series = self.of(metric)
        # A single run keeps the extremes of every bin, where a mean over them would hide spikes.
        if len(series) < 2:
            return Curve(self.index, series[0].pieces()) if series else None
        line: list[Point] = []
        band = []
        # Only bins in which every run has values: a mean over changing sets of runs would jump.
        for number in sorted(set.intersection(*(set(one.bins) for one in series))):
            bins = [found for one in series if (found := one.bins[number]) is not None]
            if len(bins) == len(series):
                step = fmean(found.steps / found.rows for found in bins)
                line.append((step, fmean(found.values / found.rows for found in bins)))
                band.append((step, min(found.low[1] for found in bins), max(found.high[1] for found in bins)))
        return Curve(self.index, [line], band) if line else None

    @property
    def title(self) -> str:
        """Return the label, with the number of runs if there are several."""
        return self.label if len(self.runs) == 1 else f"{self.label} ({len(self.runs)} seeds)"


def group_runs(labelled: Sequence[tuple[str, Sequence[RunFolder]]]) -> tuple[list[Group], int]:
    """Return the groups by label with their metrics, and the last step of all runs."""
    steps = max((run.last_step or 0 for _, runs in labelled for run in runs), default=0)
    bins = max(_MIN_BINS, min(_MAX_BINS, _POINTS // max(1, len(labelled))))
    # One more than the last step, because steps count from 0.
    width = -(-(steps + 1) // bins)  # rounded up
    groups = [
        Group(label, index, runs, [read_series(run.folder, width) for run in runs])
        for index, (label, runs) in enumerate(labelled)
    ]
    return groups, steps


def shortest_labels(paths: Sequence[str]) -> list[str]:
    """Return for each path the fewest last parts that distinguish it from all others. The paths must be different."""
    split = [path.split("/") for path in paths]
    labels = []
    for parts in split:
        others = [other for other in split if other is not parts]
        count = next(
            n for n in range(1, len(parts) + 1) if n == len(parts) or all(other[-n:] != parts[-n:] for other in others)
        )
        labels.append("/".join(parts[-count:]))
    return labels

"""The curves of a run as a figure of matplotlib, in the panels of the report."""

from __future__ import annotations

import math
from textwrap import fill
from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError, nearest, require_extra
from findna_kit.metrics.names import BASELINE, MetricKind, parse
from findna_kit.report.metrics import read_series
from findna_kit.report.sections.families import families

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from findna_kit.report.metrics import Series
    from findna_kit.report.sections.families import Family

_MAIN = {
    MetricKind.PLAIN_VALIDATION: ("bits_per_base",), MetricKind.TRAINING: ("loss",), MetricKind.VALIDATION: ("loss",),
}  # fmt: skip
"""The metrics that are drawn by default, of the kinds of which many are logged; all probes and collapse signals are drawn."""
_MAIN_KINDS = (MetricKind.TASK, MetricKind.COLLAPSE, MetricKind.BASELINE)
_COLUMNS, _WIDTH, _HEIGHT, _TITLE = 3, 4.2, 2.8, 44
"""Panels in a row, the size of a panel in inches, and the letters in a line of its title."""


def draw(run: Path, metrics: Sequence[str] = ()) -> Figure:
    """Return a figure with a panel for each family of metrics.

    metrics: names or their beginnings; none: those that tell whether a run learns. Raises FindnaError if
    matplotlib is not installed, or no metric was logged that was asked for.
    """
    require_extra("matplotlib", "plots", "Run.plot")
    from matplotlib.figure import Figure  # optional; and without pyplot, which keeps every figure in memory

    series = read_series(run, width=1)
    shown = _chosen(series, metrics, run)
    columns = min(_COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(_WIDTH * columns, _HEIGHT * rows), layout="constrained")
    for number, family in enumerate(shown):
        _draw_family(figure.add_subplot(rows, columns, number + 1), family, series)
    return figure


def _chosen(series: Mapping[str, Series], metrics: Sequence[str], run: Path) -> list[Family]:
    """Return the families to draw. Raises FindnaError if there are none."""
    wanted = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    for name in wanted:
        if not any(one.startswith(name) for one in series):
            raise FindnaError(f"{run}: no metric is called {name!r}, or begins with it{nearest(name, series)}")
    # Baselines have no panel of their own: they are the lines that others are compared with.
    names = [name for name in series if name.startswith((*wanted, BASELINE)) or (not wanted and _is_main(name))]
    if not (shown := families(names)):
        raise FindnaError(f"{run}: has logged no metrics yet")
    return shown


def _is_main(name: str) -> bool:
    """Return whether a metric is drawn by default: it tells whether a run learns, and whether it collapses."""
    metric = parse(name)
    return name == "loss" or metric.kind in _MAIN_KINDS or metric.metric in _MAIN.get(metric.kind, ())


def _draw_family(axes: Axes, family: Family, series: Mapping[str, Series]) -> None:
    """Draw the metrics of one family, and the best of their baselines."""
    for name, title in family.panels.items():
        points = [point for piece in series[name].pieces() for point in piece]
        axes.plot([step for step, _ in points], [value for _, value in points], label=title, marker="." * (len(points) < 2))
    if (level := best_level(family, series)) is not None:
        name, value = level
        axes.axhline(value, color="gray", linestyle=":", label=name)
    axes.set_title(fill(family.title, _TITLE), fontsize="small")
    axes.set_xlabel("step")
    axes.legend(fontsize="x-small")


def best_level(family: Family, series: Mapping[str, Series]) -> tuple[str, float] | None:
    """Return the name and the value of the best baseline or control of a family; None if it has none."""
    levels = [
        (name.replace("_", " "), last[1])
        for name, metrics in family.levels.items()
        for metric in metrics
        if metric in series and (last := series[metric].last) is not None
    ]
    choose = max if family.best == "high" else min
    return choose(levels, key=lambda level: level[1]) if levels else None

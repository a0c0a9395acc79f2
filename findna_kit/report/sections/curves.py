"""Curves of every metric, runs above each other, and those that tell collapse."""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING

from findna_kit.report.blocks import Figure, Note, Panel, Section, Table
from findna_kit.report.figures.canvas import sample
from findna_kit.report.figures.curves import Axes, Level, draw_curves, room
from findna_kit.report.figures.scale import Range
from findna_kit.report.sections.families import families

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.report.blocks import Block
    from findna_kit.report.figures.curves import Curve, Point
    from findna_kit.report.groups import Group
    from findna_kit.report.metrics import Series
    from findna_kit.report.sections.families import Family, Heading

_DESCRIBED = 6
_TITLES: dict[Heading, str] = {
    "losses": "Loss terms", "masked": "Masked bases, held out", "looks": "Tasks while it trained", "optimiser": "Optimizer",
    "collapse": "Collapse signals", "speed": "Speed", "other": "Other metrics",
}  # fmt: skip
_READ: dict[Heading, str] = {
    "masked": "The dotted level is the best of the models that only count, asked of the same positions; all of them are in the "
    "table of baselines.",
    "looks": "Quick looks, made to see where a run goes; the scores to be quoted stand below Scores. The dotted level is the "
    "k-mer control.",
    "collapse": "Deviation: 0 is collapse, 1 is spread evenly. Rankme, the effective rank: 1 is collapse. An entropy's share: "
    "at 1 no prototype is preferred, at 0 one alone is left. What is normal depends on the recipe: read them beside a run that "
    "is known to be good.",
}


def curve_sections(part: str, groups: Sequence[Group], steps: int, headings: Sequence[Heading]) -> list[Section]:
    """A section for each heading that any metric stands under; of collapse and losses one in any case."""
    names = dict.fromkeys(name for group in groups for own in group.series for name in own)
    every = families(names)
    sections = []
    for heading in headings:
        own = [family for family in every if family.heading == heading]
        blocks: list[Block] = [Note(_READ[heading])] if heading in _READ and own else []
        blocks += _how_drawn(own, groups)
        blocks += [figure_of(f"{part}-{heading}-{number}", family, groups, steps) for number, family in enumerate(own)]
        if not own and heading in ("losses", "collapse"):
            blocks.append(Note(f"{_TITLES[heading]}: metrics.jsonl holds none yet.", missing=True))
        if blocks:
            sections.append(Section(f"{part}-{heading}", _TITLES[heading], blocks))
    return sections


def figure_of(key: str, family: Family, groups: Sequence[Group], steps: int) -> Figure:
    """A family's panels on shared axes, and a table of their numbers."""
    curves = {name: [curve for group in groups if (curve := group.curve(name))] for name in family.panels}
    level = _level(family, groups)
    ends = [*([level.value] if level else []), *([0.0] if family.from_zero and any(curves.values()) else [])]
    held = {name: [*ends, *(value for curve in drawn for value in _values(curve))] for name, drawn in curves.items()}
    together = Range.around([value for own in held.values() for value in own])
    ranges = {name: together if family.shared else Range.around(own) for name, own in held.items()}
    left = room(ranges.values())
    axes = {name: Axes(Range(0, max(steps, 1)), values, left) for name, values in ranges.items()}
    panels = [
        Panel(title, draw_curves(f"{key}-{number}", title, _described(name, groups), curves[name], axes[name], level))
        for number, (name, title) in enumerate(family.panels.items())
    ]
    there = [group for group in groups if any(group.of(name) for name in family.panels)]
    legend = [(group.words, sample(group.place)) for group in there] if len(groups) > 1 else []
    return Figure(family.title, panels, _numbers(family, groups), legend)


def _how_drawn(own: Sequence[Family], groups: Sequence[Group]) -> list[Block]:
    """Of all figures below a heading, where it is not each row that is drawn."""
    found = [group.of(name) for family in own for name in family.panels for group in groups]
    told = []
    if any(len(series) > 1 for series in found):
        told.append("Lines are means over seeds, bands reach from the lowest seed to the highest.")
    if any(one.thinned for series in found for one in series):
        told.append("Of neighbouring rows the lowest and the highest are drawn.")
    return [Note(" ".join(told))] if told else []


def _values(curve: Curve) -> list[float]:
    own = [value for piece in curve.pieces for _, value in piece]
    return own + [end for _, low, high in curve.band for end in (low, high)]


def _level(family: Family, groups: Sequence[Group]) -> Level | None:
    """The best constant, where all runs have the same."""
    found = []
    for name, metrics in family.levels.items():
        values = [one.last[1] for metric in metrics for group in groups for one in group.of(metric) if one.last]
        if values and all(math.isclose(value, values[0], rel_tol=1e-9) for value in values):
            found.append(Level(name.replace("_", " "), values[0]))
    chosen = max if family.best == "high" else min
    return chosen(found, key=lambda one: one.value) if found else None


def _described(metric: str, groups: Sequence[Group]) -> str:
    """What one panel shows, in words."""
    told = []
    for group in groups[:_DESCRIBED]:
        if not (found := group.of(metric)):
            told.append(f"{group.words}: no value.")
        else:
            first, last = _mean([one.first for one in found]), _mean([one.last for one in found])
            low, high = min(one.low[1] for one in found if one.low), max(one.high[1] for one in found if one.high)
            told.append(f"{group.words}: from {_text(first)} to {_text(last)}, between {_text(low)} and {_text(high)}.")
    if len(groups) > _DESCRIBED:
        told.append(f"And {len(groups) - _DESCRIBED} more, which are in the table below.")
    return " ".join(told)


def _numbers(family: Family, groups: Sequence[Group]) -> Table:
    several = any(len(group.runs) > 1 for group in groups)
    head = ["series", "panel", "rows", "first", "last", "lowest", "highest", "rows not finite"]
    rows = [
        [group.words, title, *_told([one for own in group.series if (one := own.get(name)) is not None])]
        for name, title in family.panels.items()
        for group in groups
    ]
    what = "means over seeds in first and last" if several else "in brackets the step"
    return Table(f"Numbers of {family.title} ({what})", head, rows, folded=True)


def _told(every: Sequence[Series]) -> list[str]:
    found = [one for one in every if one.rows]
    lost = f"{sum(one.not_finite for one in every):,}"
    if not found:
        return ["0", "", "", "", "", lost]
    low = min((one.low for one in found if one.low), key=lambda point: point[1])
    high = max((one.high for one in found if one.high), key=lambda point: point[1])
    ends = [_end([one.first for one in found]), _end([one.last for one in found])]
    return [f"{sum(one.rows for one in found):,}", *ends, _at(low), _at(high), lost]


def _end(points: Sequence[Point | None]) -> str:
    there = [point for point in points if point is not None]
    if len(there) == 1:
        return _at(there[0])
    values = [value for _, value in there]
    return f"{_text(fmean(values))} ({_text(min(values))} to {_text(max(values))})"


def _at(point: Point) -> str:
    return f"{_text(point[1])} ({point[0]:,.0f})"


def _mean(points: Sequence[Point | None]) -> float:
    return fmean(point[1] for point in points if point is not None)


def _text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"

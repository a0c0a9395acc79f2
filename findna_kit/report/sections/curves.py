"""Sections with the curves of all metrics: losses, masked bases, online probes, collapse signals, speed and others."""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING

from findna_kit.report.blocks import Figure, Note, Panel, Section, TableBlock
from findna_kit.report.figures.canvas import sample
from findna_kit.report.figures.curves import Axes, ReferenceLine, draw_curves, left_margin
from findna_kit.report.figures.scale import AxisRange
from findna_kit.report.sections.families import families

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.report.blocks import Block
    from findna_kit.report.figures.curves import Curve, Point
    from findna_kit.report.groups import Group
    from findna_kit.report.metrics import Series
    from findna_kit.report.sections.families import Family, Heading

_MAX_DESCRIBED = 6
"""Series that the description of a drawing, which screen readers read aloud, goes through one by one."""
_TITLES: dict[Heading, str] = {
    "losses": "Losses", "masked": "Masked bases on the validation split", "probes": "Task scores during training",
    "optimiser": "Optimizer", "collapse": "Collapse signals", "speed": "Speed", "other": "Other metrics",
}  # fmt: skip
_HOW_TO_READ: dict[Heading, str] = {
    "masked": "The dotted line is the best of the baselines that only count contexts, at the same masked positions. The table "
    "of baselines lists all of them.",
    "probes": "Quick scores, made during training to follow a run's progress; quote the ones under Scores instead. The dotted "
    "line is the k-mer control.",
    "collapse": "Deviation: 0 means collapse, 1 means evenly spread embeddings. RankMe (effective rank): 1 means collapse. "
    "Entropy share: 1 means all prototypes are used equally, 0 means only one is used. Normal values depend on the recipe, so "
    "compare with a run that is known to be good.",
}


def curve_sections(part: str, groups: Sequence[Group], steps: int, headings: Sequence[Heading]) -> list[Section]:
    """Return a section for each heading that has metrics. Losses and collapse signals have one in any case."""
    names = dict.fromkeys(name for group in groups for by_metric in group.series for name in by_metric)
    all_families = families(names)
    sections = []
    for heading in headings:
        members = [family for family in all_families if family.heading == heading]
        blocks: list[Block] = [Note(_HOW_TO_READ[heading])] if heading in _HOW_TO_READ and members else []
        blocks += _drawing_notes(members, groups)
        blocks += [figure_of(f"{part}-{heading}-{number}", family, groups, steps) for number, family in enumerate(members)]
        if not members and heading in ("losses", "collapse"):
            blocks.append(Note(f"{_TITLES[heading]}: metrics.jsonl has none yet.", missing=True))
        if blocks:
            sections.append(Section(f"{part}-{heading}", _TITLES[heading], blocks))
    return sections


def figure_of(key: str, family: Family, groups: Sequence[Group], steps: int) -> Figure:
    """Return a family's panels on shared axes, and the table of their numbers."""
    curves = {name: [curve for group in groups if (curve := group.curve(name))] for name in family.panels}
    reference = _reference_line(family, groups)
    # The axis must contain the reference line and, for collapse signals, zero, which is what they are judged by.
    always = [*([reference.value] if reference else []), *([0.0] if family.from_zero and any(curves.values()) else [])]
    values = {name: [*always, *(value for curve in drawn for value in _values(curve))] for name, drawn in curves.items()}
    shared = AxisRange.around([value for own in values.values() for value in own])
    ranges = {name: shared if family.shared else AxisRange.around(own) for name, own in values.items()}
    left = left_margin(ranges.values())
    axes = {name: Axes(AxisRange(0, max(steps, 1)), value_range, left) for name, value_range in ranges.items()}
    panels = [
        Panel(title, draw_curves(f"{key}-{number}", title, _description(name, groups), curves[name], axes[name], reference))
        for number, (name, title) in enumerate(family.panels.items())
    ]
    # The legend leaves out groups without values, but indices stay, so a series has one style on the whole page.
    with_values = [group for group in groups if any(group.of(name) for name in family.panels)]
    legend = [(group.title, sample(group.index)) for group in with_values] if len(groups) > 1 else []
    return Figure(family.title, panels, _number_table(family, groups), legend)


def _drawing_notes(members: Sequence[Family], groups: Sequence[Group]) -> list[Block]:
    """Return a note on the figures below a heading where curves are means, or do not show every row."""
    drawn = [group.of(name) for family in members for name in family.panels for group in groups]
    sentences = []
    if any(len(series) > 1 for series in drawn):
        sentences.append("Lines are means over seeds; bands span the lowest to the highest seed.")
    if any(one.thinned for series in drawn for one in series):
        sentences.append("Of neighbouring rows, the lowest and the highest value are drawn.")
    return [Note(" ".join(sentences))] if sentences else []


def _values(curve: Curve) -> list[float]:
    """Return every value that a curve reaches, for the range of its axis."""
    line = [value for piece in curve.pieces for _, value in piece]
    return line + [end for _, low, high in curve.band for end in (low, high)]


def _reference_line(family: Family, groups: Sequence[Group]) -> ReferenceLine | None:
    """Return the best baseline or control among those that are the same in all runs."""
    lines = []
    for name, metrics in family.levels.items():
        # A control that depends on the run (on its masks, say) is not one line for all of them.
        values = [one.last[1] for metric in metrics for group in groups for one in group.of(metric) if one.last]
        if values and all(math.isclose(value, values[0], rel_tol=1e-9) for value in values):
            lines.append(ReferenceLine(name.replace("_", " "), values[0]))
    choose = max if family.best == "high" else min
    return choose(lines, key=lambda line: line.value) if lines else None


def _description(metric: str, groups: Sequence[Group]) -> str:
    """Return what one panel shows, in words."""
    sentences = []
    for group in groups[:_MAX_DESCRIBED]:
        if not (series := group.of(metric)):
            sentences.append(f"{group.title}: no value.")
        else:
            first, last = _mean([one.first for one in series]), _mean([one.last for one in series])
            low, high = min(one.low[1] for one in series if one.low), max(one.high[1] for one in series if one.high)
            ends = f"from {_number_text(first)} to {_number_text(last)}"
            sentences.append(f"{group.title}: {ends}, between {_number_text(low)} and {_number_text(high)}.")
    if len(groups) > _MAX_DESCRIBED:
        sentences.append(f"And {len(groups) - _MAX_DESCRIBED} more series; the table below has all of them.")
    return " ".join(sentences)


def _number_table(family: Family, groups: Sequence[Group]) -> TableBlock:
    """Return the numbers behind a figure, for those who cannot see it or want to quote it."""
    several = any(len(group.runs) > 1 for group in groups)
    head = ["series", "panel", "rows", "first", "last", "lowest", "highest", "rows not finite"]
    rows = [
        [group.title, title, *_number_cells([by_metric[name] for by_metric in group.series if name in by_metric])]
        for name, title in family.panels.items()
        for group in groups
    ]
    detail = "first and last are means over seeds" if several else "the step is in parentheses"
    return TableBlock(f"Numbers of {family.title} ({detail})", head, rows, folded=True)


def _number_cells(all_series: Sequence[Series]) -> list[str]:
    """Return the cells of one group and one panel: a summary of its runs' series."""
    series = [one for one in all_series if one.rows]
    not_finite = f"{sum(one.not_finite for one in all_series):,}"
    if not series:
        return ["0", "", "", "", "", not_finite]
    low = min((one.low for one in series if one.low), key=lambda point: point[1])
    high = max((one.high for one in series if one.high), key=lambda point: point[1])
    ends = [_end_text([one.first for one in series]), _end_text([one.last for one in series])]
    return [f"{sum(one.rows for one in series):,}", *ends, _point_text(low), _point_text(high), not_finite]


def _end_text(points: Sequence[Point | None]) -> str:
    """Return the first or last value: with its step for a single run, the mean with the range for several."""
    known = [point for point in points if point is not None]
    if len(known) == 1:
        return _point_text(known[0])
    values = [value for _, value in known]
    return f"{_number_text(fmean(values))} ({_number_text(min(values))} to {_number_text(max(values))})"


def _point_text(point: Point) -> str:
    return f"{_number_text(point[1])} ({point[0]:,.0f})"


def _mean(points: Sequence[Point | None]) -> float:
    return fmean(point[1] for point in points if point is not None)


def _number_text(value: float) -> str:
    # Four significant digits, but no exponent for large numbers such as bases per second.
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"

"""The card of a run in a notebook: status, main score with interval and controls, and a small curve."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from markupsafe import Markup, escape

from findna_kit.api.plotting import best_level
from findna_kit.evaluation.result_tables import FEATURE_NAMES, SCORE_NAMES, main_protocol, protocol_name, score_text
from findna_kit.report.figures.curves import Axes, Curve, ReferenceLine, draw_curves, left_margin
from findna_kit.report.figures.scale import AxisRange
from findna_kit.report.metrics import read_series
from findna_kit.report.sections.families import families

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from findna_kit.records.evaluation_json import TaskResult
    from findna_kit.records.run_json import RunJson
    from findna_kit.report.metrics import Series
    from findna_kit.report.sections.families import Family

_STYLE = Markup("""<style>
.findna-run svg { display: block; width: 26em; max-width: 100%; }
.findna-run text { font: 12px sans-serif; fill: currentColor; }
.findna-run .grid, .findna-run .axis { stroke: currentColor; stroke-width: .7; opacity: .3; }
.findna-run .level { stroke: currentColor; stroke-dasharray: 1.5 3; }
.findna-run td { text-align: left; white-space: nowrap; }
.findna-run .curve { fill: none; stroke-width: 1.6; }
.findna-run .c0 { stroke: #2a7bd0; } .findna-run .c1 { stroke: #d0622a; } .findna-run .mark.c0 { fill: #2a7bd0; }
.findna-run .mark.c1 { fill: #d0622a; } .findna-run .d1 { stroke-dasharray: 7 3; }
</style>""")
"""Styles of this output only; `currentColor` follows the light or dark style of the notebook."""


def card(run: Path, status: str, record: RunJson, results: Mapping[str, TaskResult]) -> str:
    """Return the HTML; every text that comes from a file is escaped."""
    steps = "" if record.steps is None else f", {record.steps:,} steps"
    seed = "" if record.seed is None else f", seed {record.seed}"
    reason = Markup("<br>{}").format(record.reason) if record.reason else ""
    head = Markup("<div><b>{}</b>: {}{}{}{}</div>").format(run, status, steps, seed, reason)
    # One line for each result would bury the curve; `Run.scores` has them all.
    return str(Markup('<div class="findna-run">{}{}{}{}</div>').format(_STYLE, head, _scores(results), _curve(run)))


def _scores(results: Mapping[str, TaskResult]) -> Markup:
    """Return the main score of the first task and those of its controls, with intervals."""
    if not results:
        return Markup("<div>not evaluated yet</div>")
    result = next(iter(results.values()))
    protocol = main_protocol(result)
    block = result.protocols[protocol]
    rows = []
    for name, contender in block.contenders().items():
        difference = block.difference(name, result.metric)
        verdict = "" if difference is None else f"encoder is {difference.verdict} ({score_text(difference, sign='+')})"
        cells = (FEATURE_NAMES[name], score_text(contender.score(result.metric)), verdict)
        rows.append(Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(cell) for cell in cells)))
    others = len(results) - 1
    more = f"; {others} more task{'s' * (others > 1)} in .scores" if others else ""
    title = f"{result.task}, {protocol_name(protocol)}, {SCORE_NAMES[result.metric]}, step {result.step}{more}"
    return Markup("<table><caption>{}</caption>{}</table>").format(title, Markup("").join(rows))


def _curve(run: Path) -> Markup:
    """Return the curve that tells most: bits per base of masked bases, or else the validation loss, or the loss."""
    series = read_series(run, width=1)
    found = families(series)
    masked = [one for one in found if one.heading == "masked" and any("bits_per_base" in name for name in one.panels)]
    shown = next(iter([*masked, *(family for family in found if family.heading == "losses")]), None)
    return Markup("<div>no metrics yet</div>") if shown is None else _drawing(shown, series)


def _drawing(family: Family, series: Mapping[str, Series]) -> Markup:
    """Return the metrics of a family as one drawing, with the best baseline and a legend."""
    curves = [Curve(index, series[name].pieces()) for index, name in enumerate(family.panels)]
    level = best_level(family, series)
    points = [point for curve in curves for piece in curve.pieces for point in piece]
    values = AxisRange.around([value for _, value in points] + ([level[1]] if level else []))
    axes = Axes(AxisRange(0, max([1.0, *(step for step, _ in points)])), values, left_margin([values]))
    legend = ", ".join(f"{title} ({'dashed' if index % 2 else 'solid'})" for index, title in enumerate(family.panels.values()))
    reference = None if level is None else ReferenceLine(*level)
    # A notebook may show several runs on one page, and IDs of elements must differ.
    drawing = draw_curves(f"findna-{uuid4().hex[:8]}", family.title, legend, curves, axes, reference)
    return Markup("<div>{}: {}</div>{}").format(escape(family.title), legend, drawing)

"""Plots of curves over steps: a line for each series, a band for the range over several runs, and marks on the lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit.report.figures.canvas import LETTER, WIDTH, Canvas, mark, number, shape, style
from findna_kit.report.figures.scale import AxisRange, ticks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from markupsafe import Markup

_HEIGHT, _TOP, _RIGHT, _BOTTOM = 210.0, 10.0, 18.0, 40.0
"""Height and margins of a panel."""
_MARKS, _TICKS = 5, 4
"""Marks on a line, and ticks of the axis of values."""
Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """One series. index: selects its style; pieces: its points, split where a value is not finite; band: (step, low, high)."""

    index: int
    pieces: Sequence[Sequence[Point]]
    band: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True)
class ReferenceLine:
    """A constant value, drawn as a horizontal line with its name."""

    name: str
    value: float


@dataclass(frozen=True)
class Axes:
    """Axes of a panel. All panels of a figure share steps and left margin; values too, if they have the same unit."""

    steps: AxisRange
    values: AxisRange | None
    left: float


def draw_curves(
    key: str, title: str, description: str, curves: Sequence[Curve], axes: Axes, reference: ReferenceLine | None = None
) -> Markup:  # fmt: skip
    """Return one panel with its curves."""
    canvas = Canvas(key, _HEIGHT, title, description)
    values = axes.values
    if values is None:
        canvas.text(WIDTH / 2, _HEIGHT / 2, "no values recorded", anchor="middle")
        return canvas.markup()
    left = axes.left
    frame = _Frame(axes.steps, values, left)
    _draw_axes(canvas, frame, ticks(values, _TICKS))
    # Bands first, then the reference line, then curves: what matters most is drawn on top.
    for curve in curves:
        if curve.band:
            canvas.path(frame.area(curve.band), "band", style(curve.index)[0])
    if reference is not None:
        y = frame.y(reference.value)
        canvas.line(left, y, WIDTH - _RIGHT, y, "level")
        # The name stands above its line, or below it where there is no space above.
        canvas.text(WIDTH - _RIGHT - 2, y - 4 if y > _TOP + 16 else y + 13, reference.name, "halo", anchor="end")
    for curve in curves:
        _draw_curve(canvas, frame, curve)
    return canvas.markup()


def left_margin(ranges: Iterable[AxisRange | None]) -> float:
    """Return the margin that the longest tick label of these value axes needs."""
    return 12 + LETTER * max(
        (len(text) for values in ranges if values is not None for _, text in ticks(values, _TICKS)), default=0
    )


@dataclass(frozen=True)
class _Frame:
    """Mapping from steps and values to positions on the drawing."""

    steps: AxisRange
    values: AxisRange
    left: float

    def x(self, step: float) -> float:
        return self.steps.position(step, self.left, WIDTH - _RIGHT)

    def y(self, value: float) -> float:
        return self.values.position(value, _HEIGHT - _BOTTOM, _TOP)

    def line(self, points: Sequence[Point]) -> str:
        return "M" + "L".join(f"{number(self.x(step))} {number(self.y(value))}" for step, value in points)

    def area(self, band: Sequence[tuple[float, float, float]]) -> str:
        forth = [(step, high) for step, _, high in band]
        back = [(step, low) for step, low, _ in reversed(band)]
        return self.line([*forth, *back]) + "z"


def _draw_axes(canvas: Canvas, frame: _Frame, value_ticks: Sequence[tuple[float, str]]) -> None:
    """Draw grid lines at the ticks of the values, and the axis of steps."""
    right, bottom = WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for value, text in value_ticks:
        canvas.line(frame.left, frame.y(value), right, frame.y(value), "grid")
        canvas.text(frame.left - 8, frame.y(value) + 4, text, anchor="end")
    canvas.line(frame.left, bottom, right, bottom, "axis")
    for step, text in ticks(frame.steps, 4, whole=True):
        canvas.line(frame.x(step), bottom, frame.x(step), bottom + 4, "axis")
        canvas.text(frame.x(step), bottom + 17, text, anchor="middle")
    canvas.text(right, _HEIGHT - 7, "step", anchor="end")


def _draw_curve(canvas: Canvas, frame: _Frame, curve: Curve) -> None:
    """Draw a line with marks, whose shapes distinguish series without colour."""
    colour, dash = style(curve.index)
    if lines := "".join(frame.line(piece) for piece in curve.pieces if len(piece) > 1):
        canvas.path(lines, "curve", colour, dash)
    points = [point for piece in curve.pieces for point in piece]
    single_points = [piece[0] for piece in curve.pieces if len(piece) == 1]
    # Single points have no line, so each needs a mark; of a line some are enough.
    marked = points if len(points) <= 2 * _MARKS else [*single_points, *_spread(points, curve.index)]
    marks = "".join(mark(frame.x(step), frame.y(value), shape(curve.index)) for step, value in marked)
    if marks:
        canvas.path(marks, "mark", colour)


def _spread(points: Sequence[Point], index: int) -> list[Point]:
    """Return some evenly spaced points, at other steps than those of the other series."""
    return [points[int((count + (0.5 + 0.37 * index) % 1) / _MARKS * len(points)) % len(points)] for count in range(_MARKS)]

"""Forest plots: for each row two lines of text, and below them the value with its interval, all on one axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit.report.figures.canvas import LETTER, LINE, WIDTH, Canvas, Shape, mark
from findna_kit.report.figures.scale import AxisRange, ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

_LEFT, _RIGHT, _TOP, _ROW, _BOTTOM = 14.0, 16.0, 8.0, 3.4 * LINE, 46.0
_FIT = int((WIDTH - 8) / LETTER)
"""Characters that fit on a line."""


@dataclass(frozen=True)
class Bar:
    """One row. text: its numbers and verdict; low and high are None where there is no interval."""

    name: str
    text: str
    value: float
    low: float | None
    high: float | None
    shape: Shape = "circle"
    colour: int = 0


def draw_intervals(
    key: str, title: str, description: str, bars: Sequence[Bar], *, axis: str, values: AxisRange | None = None,
    zero: bool = False,
) -> Markup:  # fmt: skip
    """Return the plot. values: range of the axis, if other plots share it; zero: draw a line at zero."""
    # The height grows with the rows, so that text keeps its size however many there are.
    height = _TOP + _ROW * len(bars) + _BOTTOM
    canvas = Canvas(key, height, title, description)
    values = values or range_of(bars, zero=zero)
    bottom = height - _BOTTOM

    def x(value: float) -> float:
        return values.position(value, _LEFT, WIDTH - _RIGHT)

    for value, text in ticks(values, 4):
        canvas.line(x(value), _TOP, x(value), bottom, "grid")
        canvas.text(x(value), bottom + 17, text, anchor="middle")
    canvas.line(_LEFT, bottom, WIDTH - _RIGHT, bottom, "axis")
    canvas.text(WIDTH - _RIGHT, height - 9, axis, anchor="end")
    if zero:
        canvas.line(x(0), _TOP, x(0), bottom, "zero")
    for row, bar in enumerate(bars):
        y = _TOP + _ROW * row
        canvas.text(4, y + LINE - 3, shortened(bar.name), "strong", "halo")
        canvas.text(4, y + 2 * LINE - 3, shortened(bar.text), "halo")
        middle, colour = y + 2.7 * LINE, f"c{bar.colour}"
        if bar.low is not None and bar.high is not None:
            canvas.line(x(bar.low), middle, x(bar.high), middle, "interval", colour)
            for end in (bar.low, bar.high):
                canvas.line(x(end), middle - 3.5, x(end), middle + 3.5, "interval", colour)
        canvas.path(mark(x(bar.value), middle, bar.shape, 4.5), "mark", colour)
    return canvas.markup()


def range_of(bars: Sequence[Bar], *, zero: bool) -> AxisRange:
    """Return the axis range that holds every interval."""
    ends = [end for bar in bars for end in (bar.low, bar.value, bar.high) if end is not None]
    return AxisRange.around([*ends, *([0.0] if zero else [])]) or AxisRange(-1.0, 1.0)


def shortened(text: str) -> str:
    """Return the beginning and the end of a text, as much as fits a line. The table next to the plot has all of it."""
    if len(text) <= _FIT:
        return text
    half = (_FIT - 1) // 2
    return f"{text[:half]}…{text[-half:]}"

"""A forest: a line of words for each row and below it its value with the ends of its interval, all on one axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit.report.figures.canvas import LETTER, LINE, WIDTH, Canvas, Shape, mark
from findna_kit.report.figures.scale import Range, ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

_LEFT, _RIGHT, _TOP, _ROW, _BOTTOM = 14.0, 16.0, 8.0, 3.4 * LINE, 46.0
_FIT = int((WIDTH - 8) / LETTER)


@dataclass(frozen=True)
class Bar:
    """One row. told: its numbers and verdict in words; low and high are None where there is no interval."""

    name: str
    told: str
    value: float
    low: float | None
    high: float | None
    shape: Shape = "circle"
    colour: int = 0


def draw_intervals(
    key: str, title: str, description: str, bars: Sequence[Bar], *, axis: str, values: Range | None = None,
    zero: bool = False,
) -> Markup:  # fmt: skip
    """All rows. values: of an axis that other drawings have too; zero: with a line where nothing differs."""
    height = _TOP + _ROW * len(bars) + _BOTTOM
    canvas = Canvas(key, height, title, description)
    values = values or range_of(bars, zero=zero)
    bottom = height - _BOTTOM

    def x(value: float) -> float:
        return values.place(value, _LEFT, WIDTH - _RIGHT)

    for value, text in ticks(values, 4):
        canvas.line(x(value), _TOP, x(value), bottom, "grid")
        canvas.text(x(value), bottom + 17, text, anchor="middle")
    canvas.line(_LEFT, bottom, WIDTH - _RIGHT, bottom, "axis")
    canvas.text(WIDTH - _RIGHT, height - 9, axis, anchor="end")
    if zero:
        canvas.line(x(0), _TOP, x(0), bottom, "zero")
    for place, bar in enumerate(bars):
        y = _TOP + _ROW * place
        canvas.text(4, y + LINE - 3, shortened(bar.name), "strong", "halo")
        canvas.text(4, y + 2 * LINE - 3, shortened(bar.told), "halo")
        middle, colour = y + 2.7 * LINE, f"c{bar.colour}"
        if bar.low is not None and bar.high is not None:
            canvas.line(x(bar.low), middle, x(bar.high), middle, "interval", colour)
            for end in (bar.low, bar.high):
                canvas.line(x(end), middle - 3.5, x(end), middle + 3.5, "interval", colour)
        canvas.path(mark(x(bar.value), middle, bar.shape, 4.5), "mark", colour)
    return canvas.markup()


def range_of(bars: Sequence[Bar], *, zero: bool) -> Range:
    """That every interval fits into."""
    ends = [end for bar in bars for end in (bar.low, bar.value, bar.high) if end is not None]
    return Range.around([*ends, *([0.0] if zero else [])]) or Range(-1.0, 1.0)


def shortened(words: str) -> str:
    """As much as a line holds, from both ends; the whole is in the table beside the drawing."""
    if len(words) <= _FIT:
        return words
    half = (_FIT - 1) // 2
    return f"{words[:half]}…{words[-half:]}"

"""Curves over the steps: a line for each series, a band where it stands for several runs, marks that tell lines apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit.report.figures.canvas import LETTER, WIDTH, Canvas, mark, number, shape, style
from findna_kit.report.figures.scale import Range, ticks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from markupsafe import Markup

_HEIGHT, _TOP, _RIGHT, _BOTTOM = 210.0, 10.0, 18.0, 40.0
_MARKS, _TICKS = 5, 4
Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """One series. place: its style; pieces: its points, parted where one is not finite; band: (step, low, high) around it."""

    place: int
    pieces: Sequence[Sequence[Point]]
    band: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True)
class Level:
    """A value that does not change with the steps, and what it is."""

    name: str
    value: float


@dataclass(frozen=True)
class Axes:
    """What panels beside each other share: the steps, and where they begin, always; the values where they are of one kind."""

    steps: Range
    values: Range | None
    left: float


def draw_curves(
    key: str, title: str, description: str, curves: Sequence[Curve], axes: Axes, level: Level | None = None
) -> Markup:  # fmt: skip
    """All curves of one panel."""
    canvas = Canvas(key, _HEIGHT, title, description)
    values = axes.values
    if values is None:
        canvas.text(WIDTH / 2, _HEIGHT / 2, "no value is recorded", anchor="middle")
        return canvas.markup()
    left = axes.left
    frame = _Frame(axes.steps, values, left)
    _draw_axes(canvas, frame, ticks(values, _TICKS))
    for curve in curves:
        if curve.band:
            canvas.path(frame.area(curve.band), "band", style(curve.place)[0])
    if level is not None:
        y = frame.y(level.value)
        canvas.line(left, y, WIDTH - _RIGHT, y, "level")
        canvas.text(WIDTH - _RIGHT - 2, y - 4 if y > _TOP + 16 else y + 13, level.name, "halo", anchor="end")
    for curve in curves:
        _draw_curve(canvas, frame, curve)
    return canvas.markup()


def room(ranges: Iterable[Range | None]) -> float:
    """What the longest tick of any of these needs left of a panel."""
    return 12 + LETTER * max((len(text) for one in ranges if one is not None for _, text in ticks(one, _TICKS)), default=0)


@dataclass(frozen=True)
class _Frame:
    steps: Range
    values: Range
    left: float

    def x(self, step: float) -> float:
        return self.steps.place(step, self.left, WIDTH - _RIGHT)

    def y(self, value: float) -> float:
        return self.values.place(value, _HEIGHT - _BOTTOM, _TOP)

    def line(self, points: Sequence[Point]) -> str:
        return "M" + "L".join(f"{number(self.x(step))} {number(self.y(value))}" for step, value in points)

    def area(self, band: Sequence[tuple[float, float, float]]) -> str:
        there = [(step, high) for step, _, high in band]
        back = [(step, low) for step, low, _ in reversed(band)]
        return self.line([*there, *back]) + "z"


def _draw_axes(canvas: Canvas, frame: _Frame, written: Sequence[tuple[float, str]]) -> None:
    right, bottom = WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for value, text in written:
        canvas.line(frame.left, frame.y(value), right, frame.y(value), "grid")
        canvas.text(frame.left - 8, frame.y(value) + 4, text, anchor="end")
    canvas.line(frame.left, bottom, right, bottom, "axis")
    for step, text in ticks(frame.steps, 4, whole=True):
        canvas.line(frame.x(step), bottom, frame.x(step), bottom + 4, "axis")
        canvas.text(frame.x(step), bottom + 17, text, anchor="middle")
    canvas.text(right, _HEIGHT - 7, "step", anchor="end")


def _draw_curve(canvas: Canvas, frame: _Frame, curve: Curve) -> None:
    colour, dash = style(curve.place)
    if lines := "".join(frame.line(piece) for piece in curve.pieces if len(piece) > 1):
        canvas.path(lines, "curve", colour, dash)
    points = [point for piece in curve.pieces for point in piece]
    alone = [piece[0] for piece in curve.pieces if len(piece) == 1]
    few = points if len(points) <= 2 * _MARKS else [*alone, *_spread(points, curve.place)]
    marks = "".join(mark(frame.x(step), frame.y(value), shape(curve.place)) for step, value in few)
    if marks:
        canvas.path(marks, "mark", colour)


def _spread(points: Sequence[Point], place: int) -> list[Point]:
    """Some points, evenly apart, and apart from those of other series."""
    return [points[int((count + (0.5 + 0.37 * place) % 1) / _MARKS * len(points)) % len(points)] for count in range(_MARKS)]

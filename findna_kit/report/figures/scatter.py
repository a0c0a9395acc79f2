"""Scatter plots, with a colour and a shape for each class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.report.figures.canvas import LETTER, WIDTH, Canvas, mark, shape, style
from findna_kit.report.figures.scale import AxisRange, ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

_HEIGHT, _TOP, _RIGHT, _BOTTOM = 300.0, 24.0, 14.0, 40.0
_SIZE = 2.4
"""Size of the marks: small, because classes overlap."""


def draw_scatter(
    key: str, title: str, description: str, classes: Sequence[Sequence[tuple[float, float]]], names: tuple[str, str]
) -> Markup:  # fmt: skip
    """Return a plot of points by class. names: of both axes. Raises ValueError where there are no points."""
    points = [point for members in classes for point in members]
    across, up = (AxisRange.around(values) for values in zip(*points, strict=True))
    assert across is not None and up is not None  # the caller has checked that embeddings are finite
    canvas = Canvas(key, _HEIGHT, title, description)
    up_ticks, bottom = ticks(up, 4), _HEIGHT - _BOTTOM
    left = 10 + LETTER * max(len(text) for _, text in up_ticks)
    for value, text in up_ticks:
        y = up.position(value, bottom, _TOP)
        canvas.line(left, y, WIDTH - _RIGHT, y, "grid")
        canvas.text(left - 5, y + 4, text, anchor="end")
    canvas.line(left, bottom, WIDTH - _RIGHT, bottom, "axis")
    for value, text in ticks(across, 4):
        canvas.text(across.position(value, left, WIDTH - _RIGHT), bottom + 17, text, anchor="middle")
    canvas.text(4, 13, names[1])
    canvas.text(WIDTH - _RIGHT, _HEIGHT - 7, names[0], anchor="end")
    for index, members in enumerate(classes):
        positions = ((across.position(x, left, WIDTH - _RIGHT), up.position(y, bottom, _TOP)) for x, y in members)
        if marks := "".join(mark(x, y, shape(index), _SIZE) for x, y in positions):
            canvas.path(marks, "dot", style(index)[0])
    return canvas.markup()

"""A drawing of one window and its views as lines of text: the views stand under the window, base under base.

The terminal and the report show the same lines. Each line consists of spans (text, style), of which the text alone is complete.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from findna_kit import alphabet
from findna_kit.data.view_layout import Columns, Place, ViewBases, places, rows, segments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from findna_kit.components.views import View

Style = Literal["", "title", "faint", "inserted", "changed", "masked", "reverse"]
Line = list[tuple[str, Style]]

_LETTERS = "ACGTN#"
"""By token; the last one is MASK."""
_LEGEND = {
    "#": "MASK", "r": "masked, a random base is shown", "k": "masked, the base is shown", "*": "substituted",
    "+": "inserted", "<": "other strand, read from right to left", "-": "not in the view",
    ".": "no base: another view has inserted bases here",
}  # fmt: skip
_STYLES: dict[str, Style] = {"#": "masked", "r": "masked", "k": "masked", "*": "changed", "+": "inserted", "<": "reverse"}
_MOST_SEGMENTS = 6
"""Segments of a view that its description lists."""
_HARD_SPACE = "\x00"
"""Stands for a space at which no line is wrapped."""


@dataclass(frozen=True)
class DrawnView:
    """A view to draw. view: of one window. crop: the part of the window that it may hold, half-open."""

    name: str
    branches: tuple[str, ...]
    view: View
    crop: tuple[int, int]


def draw_views(title: str, window: View, views: Sequence[DrawnView], *, width: int, blocks: int | None = None) -> list[Line]:
    """Draw the first window of `window` and its views in lines of at most `width` characters.

    blocks: draw only so many blocks of lines, None for all. Soft-masked bases are in lower case.
    """
    bases = [ViewBases.of(one.view) for one in views]
    lines: list[Line] = [*_wrapped(title, width, "title"), []]
    sheet = _Sheet(window, views, bases, width)
    for one, its in zip(views, bases, strict=True):
        lines += _wrapped(_description(one, its, sheet.window), width)
    body = [line for start in sheet.starts[:blocks] for line in [[], *sheet.block(start)]]
    lines += body
    if blocks is not None and len(sheet.starts) > blocks:
        lines += [[], *_wrapped(f"The first {blocks} of {len(sheet.starts)} blocks of lines are shown.", width)]
    return [*lines, [], *_legend(body, width)]


class _Sheet:
    """Blocks of lines, each as wide as the drawing: a ruler, the window, and every view that has a base there."""

    def __init__(self, window: View, views: Sequence[DrawnView], bases: Sequence[ViewBases], width: int) -> None:
        self.window, self.views, self.bases = ViewBases.of(window), views, bases
        placed = [places(one) for one in bases]
        self.columns = Columns.of(len(self.window.tokens), placed).in_order()
        self.rows = [rows(one) for one in placed]
        longest = max(len("window"), *(len(one.name) for one in views))
        self.label = min(longest, width // 4)
        # After the label: a space, two characters for the direction, and a space.
        self.body = width - self.label - 4
        self.starts = range(0, len(self.columns), self.body)

    def block(self, start: int) -> Iterator[Line]:
        """Yield the lines of the block that begins at column `start`."""
        columns = self.columns[start : start + self.body]
        ruler = _ruler(columns)
        yield [(" " * (self.label + 4), ""), (ruler, "faint")] if ruler else []
        window = "".join("." if one.number is not None else _letter(self.window, one.slot) for one in columns)
        yield [(self._gutter("window", ""), "title"), *_spans(window, [""] * len(window))]
        for number, one in enumerate(self.views):
            for row_number, row in enumerate(self.rows[number]):
                held = [row.get(column) for column in columns]
                absent = [self._absent(number, row_number, column) for column in columns]
                yield from self._row(one.name, self.bases[number], held, absent)

    def _row(self, name: str, bases: ViewBases, held: Sequence[int | None], absent: Sequence[str]) -> Iterator[Line]:
        """Yield the line with the bases of a row of a view, and the line with their marks; nothing where it has neither."""
        letters = "".join(blank if at is None else _letter(bases, at) for at, blank in zip(held, absent, strict=True))
        if not letters.strip(" ."):
            return
        marks = "".join(" " if at is None else self._mark(bases, at) for at in held)
        styles: list[Style] = [
            "faint" if at is None else _STYLES.get("#" if letter == "#" else mark, "")
            for at, letter, mark in zip(held, letters, marks, strict=True)
        ]
        strands = {bases.strand[at] for at in held if at is not None}
        arrows = "<" * (-1 in strands) + ">" * (1 in strands)
        yield [(self._gutter(name, arrows), "title"), *_spans(letters, styles)]
        if marks.strip():
            yield [(" " * (self.label + 4), ""), *_spans(marks.rstrip(), [_STYLES.get(mark, "") for mark in marks])]

    def _gutter(self, name: str, arrows: str) -> str:
        """Return the beginning of a line. A name that is too long loses its middle: its end may be a number."""
        if len(name) > self.label:
            name = name[: self.label - 6] + "~" + name[-5:]
        return f"{name:{self.label}} {arrows:2} "

    def _absent(self, view: int, row: int, column: Place) -> str:
        """Return what stands in a column where a row of a view has no base."""
        first, end = self.views[view].crop
        # Further rows hold only what does not fit into the first.
        if row or not first <= column.slot < end + (column.number is not None):
            return " "
        if column.number is not None:
            return "."
        return " " if any(column in other for other in self.rows[view][1:]) else "-"

    def _mark(self, bases: ViewBases, at: int) -> str:
        """Return the mark below a base: what was done to it, or else the strand that it was read from."""
        if at in bases.weights and bases.seen[at] != alphabet.MASK:
            return "k" if bases.seen[at] == bases.tokens[at] else "r"
        if bases.origin[at] < 0:
            return "+"
        if is_substituted(bases, self.window, at):
            return "*"
        return "<" if bases.strand[at] < 0 else " "


def is_substituted(bases: ViewBases, window: ViewBases, at: int) -> bool:
    """Return whether a base of a view differs from the base of the window that it comes from."""
    origin = window.tokens[bases.origin[at]]
    return bases.tokens[at] != (3 - origin if bases.strand[at] < 0 and origin < alphabet.N else origin)


def _letter(bases: ViewBases, at: int) -> str:
    """Return the letter that the branches see, in lower case for a soft-masked base."""
    letter = _LETTERS[bases.seen[at]]
    return letter.lower() if bases.soft_masked[at] else letter


def _ruler(columns: Sequence[Place]) -> str:
    """Return the positions in the window, each above its base, for every tenth base."""
    text = ""
    for at, column in enumerate(columns):
        label = str(column.slot)
        # A label that would touch the one before, or be cut off, is left out.
        if column.number is None and column.slot % 10 == 0 and len(text) <= at and at + len(label) <= len(columns):
            text = text.ljust(at) + label + " "
    return text.rstrip()


def _spans(text: str, styles: Sequence[Style]) -> Line:
    """Return a text with the style of each character as spans, without spaces at its end."""
    line: Line = []
    for letter, style in zip(text.rstrip(), styles, strict=False):
        if line and line[-1][1] == style:
            line[-1] = (line[-1][0] + letter, style)
        else:
            line.append((letter, style))
    return line


def _description(one: DrawnView, bases: ViewBases, window: ViewBases) -> str:
    """Return in words which branches see a view, and what was done to it."""
    first, end = one.crop
    cropped = f"crop of {end - first} bases at {first}; " if end - first < len(window.tokens) else ""
    changed = sum(is_substituted(bases, window, at) for at in range(len(bases.tokens)) if bases.origin[at] >= 0)
    sentences = [f"{one.name} (seen by {' and '.join(one.branches)}): {cropped}{_order(bases)}"]
    if changed:
        sentences.append(f"{changed} substituted")
    if bases.weights:
        sentences.append(_masked(bases))
    if one.view.deviation is not None:
        sentences.append(
            f"noise of standard deviation {float(one.view.deviation[0]):g}, which letters cannot show, is added to the "
            "one-hot bases"
        )
    return "; ".join(sentences) + "."


def _order(bases: ViewBases) -> str:
    """Return in words which bases a view consists of, in its own order."""
    texts = []
    for one in segments(bases.origin, bases.strand):
        if not one.strand:
            texts.append(f"{one.end - one.begin} inserted")
            continue
        strand = " of the other strand" if one.strand < 0 else ""
        texts.append(f"bases {bases.origin[one.begin]} to {bases.origin[one.end - 1]}{strand}")
    more = [f"{len(texts) - _MOST_SEGMENTS} more segments"] if len(texts) > _MOST_SEGMENTS else []
    return ", then ".join(texts[:_MOST_SEGMENTS] + more) or "no bases"


def _masked(bases: ViewBases) -> str:
    """Return in words how many bases are masked, what is shown instead, and how many weigh less."""
    shown = [bases.seen[at] for at in bases.weights]
    masks = shown.count(alphabet.MASK)
    kept = sum(bases.seen[at] == bases.tokens[at] for at in bases.weights)
    light = [weight for weight in bases.weights.values() if weight < 1]
    text = f"{len(shown)} masked: {masks} by MASK, {len(shown) - masks - kept} by a random base, {kept} unchanged"
    return text + (f", {len(light)} with a weight of {min(light):.3g} or more, below 1" if light else "")


def _legend(body: Sequence[Line], width: int) -> list[Line]:
    """Return what the signs mean that the drawing contains."""
    # The labels of views and the ruler are no signs of the drawing.
    used = {letter for line in body for text, style in line[1:] if style != "title" for letter in text}
    signs = [f"{sign} {meaning}" for sign, meaning in _LEGEND.items() if sign in used]
    lower = ["lower case: soft-masked"] if used & set("acgtn") else []
    # A sign stays on one line with the beginning of its meaning.
    lines = _wrapped("; ".join(text.replace(" ", _HARD_SPACE, 1) for text in [*signs, *lower]), width, "faint")
    return [[(text.replace(_HARD_SPACE, " "), style) for text, style in line] for line in lines]


def _wrapped(text: str, width: int, style: Style = "") -> list[Line]:
    """Return a text as lines, whose continuations are indented."""
    return [[(line, style)] for line in textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False)]

"""Layout of tables as lines of text that fit a given width."""

from __future__ import annotations

import textwrap
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_GAP = "  "
_NARROWEST = 14
"""Width below which no text is wrapped: a column of single words, many lines high, is hard to read."""


def select(rows: Iterable[Sequence[str]], *columns: int) -> list[list[str]]:
    """Return the rows with these columns only, in this order."""
    return [[row[column] for column in columns] for row in rows]


def lay_out(rows: Sequence[Sequence[str]], width: int | None) -> tuple[list[str], list[str]]:
    """Return the lines of the header (the first row) and of the body of a table.

    Without a width every row is one line. Otherwise cells are wrapped at spaces to fit it, and words stay whole. If the words
    do not fit next to each other, each row becomes a block with one cell per line, and there is no header.
    """
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    if width is not None and _total(widths) > width:
        # A table is easier to compare by column; blocks are for what cannot be shown as one without broken words.
        fitted = _fit(texts, widths, width)
        if fitted is None:
            return [], _blocks(texts, width)
        widths = fitted
    lines = [_row_lines(row, widths) for row in texts]
    return lines[0], [line for row in lines[1:] for line in row]


def _total(widths: Sequence[int]) -> int:
    """Return the width of a line of the table."""
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _fit(rows: Sequence[Sequence[str]], widths: Sequence[int], available: int) -> list[int] | None:
    """Return narrower widths that add up to the available one, or None if the longest words alone are too wide."""
    words = [max((len(word) for cell in column for word in cell.split()), default=0) for column in zip(*rows, strict=True)]
    # A column never becomes narrower than its longest word, so that no word is broken.
    fitted = [min(width, max(word, _NARROWEST)) for width, word in zip(widths, words, strict=True)]
    spare = available - _total(fitted)
    if spare < 0:
        return None
    # Columns that lack little are served first, so that only the longest texts are wrapped.
    lacking = sorted(range(len(widths)), key=lambda column: widths[column] - fitted[column])
    for position, column in enumerate(lacking):
        share = min(widths[column] - fitted[column], spare // (len(lacking) - position))
        fitted[column] += share
        spare -= share
    return fitted


def _row_lines(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return the lines of one row, whose cells may be wrapped."""
    cells = [_wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
    lines = zip_longest(*cells, fillvalue="")
    return [_GAP.join(f"{text:{width}}" for text, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _wrap(text: str, width: int) -> list[str]:
    """Wrap a cell at spaces; an empty cell has one empty line."""
    return textwrap.wrap(text, max(1, width), break_long_words=False, break_on_hyphens=False) or [""]


def _blocks(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return each row as a block: the title of a column, and its cell next to it; empty cells are left out."""
    titles, *records = rows
    # Labels form one column, so that the values of a block line up.
    label = max(map(len, titles))
    lines: list[str] = []
    for number, record in enumerate(records):
        lines += [""] * (number > 0)
        for title, cell in zip(titles, record, strict=True):
            # A block lists only what a record has.
            if cell:
                first, *others = _wrap(cell, width - label - len(_GAP))
                lines += [f"{title:{label}}{_GAP}{first}", *(f"{'':{label}}{_GAP}{line}" for line in others)]
    return lines

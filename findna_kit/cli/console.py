"""Text output of the commands: results to stdout, progress and remarks to stderr.

On a terminal, lines are wrapped at spaces to its width. Otherwise (a pipe, a file, a log) no line is broken, so that tools
such as grep find whole lines.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, TextIO

import typer

from findna_kit.cli.tables import lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence

_INDENT = "  "
"""Indentation of the lines that continue a wrapped one."""


def log(line: str) -> None:
    """Print a line of progress, or a remark, to stderr."""
    print(_wrap(line, sys.stderr), file=sys.stderr, flush=True)


def print_line(line: str = "") -> None:
    """Print a line of a result to stdout."""
    print(_wrap(line, sys.stdout))


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print a table to stdout; the first row is its header."""
    header, body = lay_out(rows, _width(sys.stdout))
    for line in header:
        typer.secho(line, bold=True)  # bold on a terminal only
    for line in body:
        print(line)


def _width(stream: TextIO) -> int | None:
    """Return the number of columns of a terminal, or None if the stream is none."""
    # Text that goes to a file or another program is not wrapped, so that it can be searched and parsed.
    return shutil.get_terminal_size().columns if stream.isatty() else None


def _wrap(text: str, stream: TextIO) -> str:
    """Wrap each line of a text to the width of the stream's terminal."""
    width = _width(stream)
    if width is None:
        return text
    return "\n".join(_wrap_line(line, width) for line in text.split("\n"))


def _wrap_line(line: str, width: int) -> str:
    """Wrap one line at spaces; the lines that continue it are indented further than it is."""
    # A long path or URL is left whole: broken, it could not be copied.
    indent = line[: len(line) - len(line.lstrip())]
    wrapped = textwrap.wrap(
        line.strip(), width, initial_indent=indent, subsequent_indent=indent + _INDENT, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    return "\n".join(wrapped)

"""Text output of the commands: results to stdout, progress and remarks to stderr.

On a terminal, lines are wrapped at spaces to its width. Otherwise (a pipe, a file, a log) no line is broken, so that tools
such as grep find whole lines.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from findna_kit.api.terminal import log as log
from findna_kit.api.terminal import width_of, wrap
from findna_kit.cli.tables import lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence


def print_line(line: str = "") -> None:
    """Print a line of a result to stdout."""
    print(wrap(line, sys.stdout))


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print a table to stdout; the first row is its header."""
    header, body = lay_out(rows, width_of(sys.stdout))
    for line in header:
        typer.secho(line, bold=True)  # bold on a terminal only
    for line in body:
        print(line)

"""Lines of progress and remarks: to stderr in a program, below the cell in a notebook.

On a terminal, lines are wrapped at spaces to its width. Otherwise (a pipe, a file, a log) no line is broken, so that tools
such as grep find whole lines.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TextIO

_INDENT = "  "
"""Indentation of the lines that continue a wrapped one."""


def in_notebook() -> bool:
    """Return whether this process is a kernel of Jupyter, whose output is shown below a cell."""
    # Looked up, not imported: IPython is loaded already in every kernel, and is not a dependency of the kit.
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


def log(line: str) -> None:
    """Print a line of progress, or a remark, to stderr."""
    # Jupyter shows stderr on red, as if something had failed.
    stream = sys.stdout if in_notebook() else sys.stderr
    print(wrap(line, stream), file=stream, flush=True)


def width_of(stream: TextIO) -> int | None:
    """Return the number of columns of a terminal, or None if the stream is none."""
    # Text that goes to a file or another program is not wrapped, so that it can be searched and parsed.
    return shutil.get_terminal_size().columns if stream.isatty() else None


def wrap(text: str, stream: TextIO) -> str:
    """Wrap each line of a text to the width of the stream's terminal."""
    width = width_of(stream)
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

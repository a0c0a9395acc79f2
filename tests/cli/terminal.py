"""Commands in this process whose stdout is a terminal of a given width, and checks of what they print there."""

from __future__ import annotations

import io
import re
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest

from findna_kit.cli import main
from findna_kit.cli.command_table import COMMANDS
from findna_kit.cli.groups import CommandEntry

WIDTHS = (80, 120)
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    """A stdout that is a terminal."""

    def isatty(self):
        return True


def on_terminal(width, *arguments):
    """The stdout of a command on a terminal, without colours; its exit code must be 0."""
    out, err = Terminal(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        patch.setenv("COLUMNS", str(width))
        patch.setattr(sys, "argv", ["findna-kit", *map(str, arguments)])
        main()
    assert not end.value.code, err.getvalue()
    return ESCAPES.sub("", out.getvalue())


def assert_fits(text, width, unbroken):
    """Every line fits; every word of it is one of `unbroken`, the same output in a pipe; no column is one letter wide."""
    words = set(unbroken.split())
    for line in text.splitlines():
        assert len(line) <= width, line
        # Numbers that are measured differ between two calls.
        assert {word for word in line.split() if not re.search(r"\d", word)} <= words, line
        assert not re.fullmatch(r"\s{2,}\w", line), f"a column of single letters: {text}"


def every_command(entries=COMMANDS, above=()):
    """The full name of every command and group, with its entry in the table."""
    for name, entry in entries.items():
        yield (*above, name), entry
        if not isinstance(entry, CommandEntry):
            yield from every_command(entry.commands, (*above, name))

"""Helpers of tests that run the code blocks of a page in order."""

from __future__ import annotations

import io
import os
import re
import subprocess
from contextlib import chdir, redirect_stdout

from tests.building import ROOT
from tests.installing import findna

FENCED = re.compile(r"^```([a-z]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RECORDED = """findna-kit() { printf '%s\\0' "$@" "" >> "$RECORDED"; }
"""


def page(name):
    return (ROOT / "docs" / name).read_text()


def blocks(text, *languages):
    """Return (language, text) of each block in order, optionally of some languages only."""
    return [(language, body) for language, body in FENCED.findall(text) if language in languages or not languages]


def words_of(script, folder):
    """Return the arguments of each `findna-kit` call in the script, as the shell passes them; run everything else."""
    recorded = folder / ".recorded"
    recorded.write_text("")
    done = subprocess.run(
        ["bash", "-euc", RECORDED + script],
        cwd=folder,
        env={**os.environ, "RECORDED": str(recorded)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [call.split("\0") for call in recorded.read_text().split("\0\0")[:-1]]


def follow(text, folder, smaller):
    """Run the blocks of a page in `folder`, and return what each of them printed.

    `sh`: every command, changed by `smaller`, the only change a test may make. `yaml`, and `python` whose first line is
    `# PATH`: written to that file. Other `python`: run in one namespace for the whole page. `text`: output shown on the page.
    """
    printed, names = [], {}
    for language, body in blocks(text):
        out = ""
        if language == "sh":
            out = "".join(called(smaller(words), folder) for words in words_of(body, folder))
        elif file := re.match(r"# (\S+\.\w+)\n", body):
            (folder / file[1]).write_text(body)
        elif language == "python":
            with chdir(folder), redirect_stdout(io.StringIO()) as stdout:
                exec(compile(body, "page", "exec"), names)
            out = stdout.getvalue()
        else:
            assert language == "text", f"unexpected language: {language}"
        printed.append((language, body, out))
    return printed


def called(words, folder):
    with chdir(folder):
        code, out, err = findna(*words)
    assert code == 0, f"findna-kit {' '.join(words)}\n{err}"
    return out + err

"""Pages of docs/ as tests follow them: block by block, in their order."""

from __future__ import annotations

import io
import os
import re
import subprocess
from contextlib import chdir, redirect_stdout

from tests.building import ROOT
from tests.installing import findna

FENCED = re.compile(r"^```([a-z]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOTED = """findna-kit() { printf '%s\\0' "$@" "" >> "$NOTED"; }
"""


def page(name):
    return (ROOT / "docs" / name).read_text()


def blocks(text, *languages):
    """(language, text) of each block, in their order; of these languages, where any are named."""
    return [(language, body) for language, body in FENCED.findall(text) if language in languages or not languages]


def words_of(script, folder):
    """What a shell makes of each `findna-kit ...` in the script, loops and quotes included; all else in it is done."""
    noted = folder / ".noted"
    noted.write_text("")
    done = subprocess.run(
        ["bash", "-euc", NOTED + script], cwd=folder, env={**os.environ, "NOTED": str(noted)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [call.split("\0") for call in noted.read_text().split("\0\0")[:-1]]


def follow(text, folder, smaller):
    """Does what the page says in `folder`; gives what each of its blocks printed, in their order.

    `sh`: every command, as `smaller` makes it, which is all that a test may change of it. `yaml` and `python` whose first line
    is `# PATH`: a file; other `python` is run, one namespace for the whole page. `text` is what the page says was printed.
    """
    printed, names = [], {}
    for language, body in blocks(text):
        out = ""
        if language == "sh":
            out = "".join(called(smaller(words), folder) for words in words_of(body, folder))
        elif file := re.match(r"# (\S+\.\w+)\n", body):
            (folder / file[1]).write_text(body)
        elif language == "python":
            with chdir(folder), redirect_stdout(io.StringIO()) as said:
                exec(compile(body, "page", "exec"), names)
            out = said.getvalue()
        else:
            assert language == "text", f"nobody knows what to do with {language}"
        printed.append((language, body, out))
    return printed


def called(words, folder):
    with chdir(folder):
        code, out, err = findna(*words)
    assert code == 0, f"findna-kit {' '.join(words)}\n{err}"
    return out + err

"""docs/write-a-plugin.md does what it says: its files are written, installed and used, and its commands called."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.building import ROOT, command, sets
from tests.installing import install_project

GUIDE = (ROOT / "docs" / "write-a-plugin.md").read_text()
FILES = dict(re.findall(r"^```(?:toml|python|yaml)\n# (\S+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))
COMMANDS = [line for block in re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL) for line in block.splitlines()]
OURS = [shlex.split(line)[1:] for line in COMMANDS if line.startswith("findna-kit ")]
SAID = {
    "plugins": "findna-transition 0.1.0",
    "components": "of each base to be swapped",
    "check": "mine: good",
    "run": "shows its curves",
}
"""What each command prints, in the order of the guide."""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guide") / "findna-transition"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    install_project(folder / "site", folder)
    return folder


def test_every_block_is_a_file_or_commands():
    assert GUIDE.count("```") == 2 * (len(FILES) + GUIDE.count("```sh"))
    assert [words[0] for words in OURS] == list(SAID)


@pytest.mark.parametrize("words", OURS, ids=" ".join)
def test_its_commands_work(project, words):
    small = sets("steps=1", "data.batch_size=4", "data.length=64", "trainer.validation_windows=4") if words[0] == "run" else []
    done = command(*words, *small, cwd=project, env={"PYTHONPATH": str(project / "site")})
    assert done.returncode == 0, done.stderr
    assert SAID[words[0]] in " ".join(done.stdout.split())


def test_its_test_passes(project):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=project, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(project / "site")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout

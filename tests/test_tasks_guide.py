"""docs/tasks.md and docs/audit-tasks.md: their task files are valid, their commands run as written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from findna_kit.evaluation.tasks.task_file import read_task_file
from tests.building import ROOT

TEXT = "".join((ROOT / "docs" / name).read_text() for name in ("audit-tasks.md", "tasks.md"))
FILES = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
SCRIPTS = re.findall(r"^```bash\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("text", FILES, ids=lambda text: text.split(":")[0])
def test_a_task_file_of_the_page_is_one(text, tmp_path):
    (tmp_path / "task.yaml").write_text(text)
    file = read_task_file(tmp_path / "task.yaml")
    assert text.startswith(
        next(name for name in ("folder", "tables", "table", "bed", "fasta") if getattr(file, name) is not None)
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=["audit", "table", "own"])
def test_the_commands_of_the_page_run(script, tmp_path):
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "test samples found in the other splits: " in done.stdout
    if "my.yaml" in script:
        assert "my.yaml: train 210, validation 30, test 60" in done.stdout
        assert "the largest with 5.0% of the rows" in done.stdout
    if "mine" in script:
        assert "task.yaml: train 40, validation 40, test 40" in done.stdout


def test_there_are_examples_of_every_source():
    assert [text.split(":")[0] for text in FILES] == ["table", "folder", "tables", "bed", "fasta"]
    assert len(SCRIPTS) == 3

"""docs/plugin-extras.md and docs/use-plugins.md: the entry points and the reporter work, the messages are the kit's."""

from __future__ import annotations

import re
import tomllib

import pytest

from findna_kit.cli.plugins.doctor import FOUND_SOMETHING
from findna_kit.plugins.entry_points import COMPONENTS, GROUP_LABELS, PLUGINS_ENV
from tests.building import ROOT, SMALL, SMALL_HEAD, sets
from tests.installing import findna, install_package

PAGE = (ROOT / "docs" / "use-plugins.md").read_text()
EXTRAS = (ROOT / "docs" / "plugin-extras.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", EXTRAS, re.MULTILINE | re.DOTALL)
GROUPS = {
    group: entries
    for language, text in BLOCKS
    if language == "toml"
    for group, entries in tomllib.loads(text)["project"]["entry-points"].items()
}
FILES = {text.partition("\n")[0].lstrip("# "): text for language, text in BLOCKS if language == "python"}
COMMAND = "import typer\napp = typer.Typer(add_completion=False)\n@app.command()\ndef weigh():\n    print('weighed')\n"


@pytest.fixture
def site(tmp_path, monkeypatch):
    small = {"my_package/__init__.py": "", "my_package/recipes/small.yaml": "base: self_distill\nname: small\n"}
    files = {**FILES, **small, "my_package/commands.py": COMMAND}
    monkeypatch.syspath_prepend(install_package(tmp_path / "site", "my-distribution", files, GROUPS))
    return tmp_path


def test_every_entry_point_group_is_on_the_page():
    assert GROUPS.keys() == GROUP_LABELS.keys() - {COMPONENTS}
    assert list(FILES) == ["my_package/reports.py"]
    assert PLUGINS_ENV in PAGE


def test_its_reporter_receives_a_run(site):
    words = sets(*SMALL, *SMALL_HEAD, "steps=2")
    run = site / "run"
    code, _, stderr = findna("run", "my_plugin:small", *words, "--out", run, "--device", "cpu", "--report", "notebook")
    assert code == 0, stderr
    assert [line.split()[0] for line in (run / "reports" / "notebook.txt").read_text().splitlines()] == ["1", "2"]


def test_its_recipe_and_its_command_are_there(site):
    assert "my_plugin:small" in findna("recipes")[1]
    assert "(from my-distribution 1.0)" in findna("--help")[1]
    assert findna("lab") == (0, "weighed\n", "")
    code, stdout, _ = findna("plugins", "doctor", "my-distribution")
    assert (code, "3 examined: 0 broken" in stdout) == (0, True)


def test_it_quotes_messages_of_the_code():
    folders = (ROOT / "findna_kit" / name for name in ("plugins", "cli"))
    code = "".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    for words in ("does not state the version of the plugin interface that it was written for", "had not finished after",
                  "the process was killed by", "ended Python while it was imported", "written for version"):  # fmt: skip
        assert words in PAGE
        assert words in code
    assert f"exit code is {FOUND_SOMETHING} " in PAGE

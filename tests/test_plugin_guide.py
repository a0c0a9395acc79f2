"""docs/write-a-plugin.md and docs/component-contracts.md: commands, files, examples and the table of errors are correct."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys

import pytest

from findna_kit.cli.scaffolding import files
from findna_kit.components.interfaces import API_VERSION
from findna_kit.plugins.kinds import KINDS
from findna_kit.plugins.loading import load_plugins
from tests.building import ROOT, command, sets
from tests.installing import install, install_project

GUIDE = (ROOT / "docs" / "write-a-plugin.md").read_text()
CONTRACTS = (ROOT / "docs" / "component-contracts.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
"""Language and text of every block, in order."""
PATH = re.compile(r"# (\S+)\n")
WHOLE = {PATH.match(text)[1]: text.partition("\n")[2] for _, text in BLOCKS if PATH.match(text)}
"""Files, by the path in their first line."""
TINY = sets("steps=1", "data.batch_size=4", "data.length=64", "trainer.validation_windows=4")
SCAFFOLD, *BY_HAND = [text.splitlines() for language, text in BLOCKS if language == "sh"]
MINUTES = ("pytest ./findna-motif", "findna-kit plugins test motif", "findna-kit run motif:example")
"""What takes long enough to be called in the slow stage alone; tests/cli/test_scaffolding.py has the like of it."""
SAID = {
    "findna-kit plugins new motif": "findna-motif: the plugin 'motif' with an encoder and a loss",
    "findna-kit components motif_encoder": "bases to either side that a convolution looks at",
    "pytest ./findna-motif": "passed",
    "findna-kit plugins test motif": "motif_loss",
    "findna-kit run motif:example": "shows its curves",
    "findna-kit plugins list": "findna-transition 0.1.0",
    "findna-kit components transition": "probability that a base is swapped",
    "findna-kit check mine.yaml": "mine: valid",
    "findna-kit run mine.yaml": "shows its curves",
    "pytest": "3 passed",
}
"""What each command prints that is not answered with silence, by how it begins, in the order of the guide."""


class Reader:
    """Does what the guide says, line by line, in an empty folder; pip's work is done by hand, in a folder of its own."""

    def __init__(self, folder):
        self.folder, self.site, self.said = folder, folder / "site", {}
        self.at = folder

    def __call__(self, line):
        program, *words = shlex.split(line)
        getattr(self, program.replace("-", "_"))(line, words)

    def mkdir(self, line, words):
        subprocess.run(["mkdir", *words], check=True, cwd=self.at)

    def cd(self, line, words):
        self.at = self.at / words[0]

    def pip(self, line, words):
        assert words[:2] == ["install", "-e"]
        install_project(self.site, self.at / words[2].removesuffix("[dev]"))

    def findna_kit(self, line, words):
        done = command(*words, *(TINY if words[0] == "run" else []), cwd=self.at, env={"PYTHONPATH": str(self.site)})
        self.keep(line, done)

    def pytest(self, line, words):
        run = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]
        env = {**os.environ, "PYTHONPATH": str(self.site)}
        self.keep(line, subprocess.run(run, cwd=self.at, capture_output=True, text=True, env=env))

    def keep(self, line, done):
        assert done.returncode == 0, done.stdout + done.stderr
        self.said[line] = " ".join(done.stdout.split())

    def write(self, names):
        for name in names:
            path = self.at / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(WHOLE[name])


def expected(line):
    return SAID[max((start for start in SAID if f"{line} ".startswith(f"{start} ")), key=len)]


def test_every_block_is_known():
    assert GUIDE.count("```") == 2 * len(BLOCKS)
    lines = [line for block in (SCAFFOLD, *BY_HAND) for line in block if not line.startswith(("pip ", "cd ", "mkdir "))]
    assert [expected(line) for line in lines] == list(SAID.values())
    assert len(WHOLE) == 5


@pytest.fixture(scope="module")
def scaffolded(tmp_path_factory):
    """The reader of the first block, who left out what takes minutes."""
    reader = Reader(tmp_path_factory.mktemp("scaffold"))
    for line in SCAFFOLD:
        if not line.startswith(MINUTES):
            reader(line)
    return reader


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    """The reader of the second part; files are written as soon as there is a folder for them."""
    reader = Reader(tmp_path_factory.mktemp("by_hand"))
    for line in (line for block in BY_HAND for line in block):
        reader(line)
        if line.startswith("cd "):
            reader.write(WHOLE)
    return reader


def test_the_scaffold_is_written_and_found(scaffolded):
    assert len(scaffolded.said) == 2
    for line, said in scaffolded.said.items():
        assert expected(line) in said
    listed = re.findall(r"^\| `([\w./]+)`", GUIDE[: GUIDE.index("## Write one component")], re.MULTILINE)
    assert len(listed) == 6
    for path in listed:
        assert (scaffolded.folder / "findna-motif" / path).is_file(), path


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in SCAFFOLD if line.startswith(MINUTES)])
def test_what_is_called_on_the_scaffold_works(scaffolded, line):
    scaffolded(line)
    assert expected(line) in scaffolded.said[line]


def test_the_one_by_hand_works_from_the_first_line_to_the_last(by_hand):
    assert len(by_hand.said) == 5
    for line, said in by_hand.said.items():
        assert expected(line) in said
    (run,) = (by_hand.at / "runs").iterdir()
    assert "findna-transition 0.1.0" in (run / "run.json").read_text()


def test_the_examples_are_what_the_scaffold_writes():
    module = files("motif", [kind.name for kind in KINDS])["findna_motif/__init__.py"]
    shown = re.findall(r"^```python\n(.*?)^```$", CONTRACTS, re.MULTILINE | re.DOTALL)
    assert len(shown) == 6
    for text in shown:
        assert text in module
        first, *_ = ast.parse(text).body
        assert re.fullmatch("Motif(Encoder|Masking|Loss|TeacherUpdate|Optimizer|Schedule)", first.name)


# The table of error messages: a plugin with each problem, and its message

GOOD = WHOLE["findna_transition/transition.py"] + WHOLE["findna_transition/__init__.py"].replace(
    "from findna_transition.transition import Transition\n", ""
).replace('"""Transitions for FinDNA-Kit."""', "")
LOSS = "from findna_kit.components import Loss\nclass X(Loss):\n    class Config(ComponentConfig):\n        'None.'\n"
COUNTS = "    def count(self, student, teacher): ...\n    def forward(self, student, teacher, clock): ...\n"
ADDED, ADDED_LOSS = 'registry.augmentations.add("transition", Transition)', 'registry.losses.add("x", X)'
WRONG = {
    "the module cannot be imported": lambda good: f"import x\n{good}",
    "no version is stated": lambda good: good.replace("findna_kit_api = 2", ""),
    "written for another version": lambda good: good.replace("findna_kit_api = 2", "findna_kit_api = 99"),
    "the hook's name is misspelt": lambda good: good.replace("findna_kit_register", "findna_kit_registr"),
    "`@hookimpl` is missing": lambda good: good.replace("@hookimpl", ""),
    "not the right class": lambda good: good.replace('"transition", Transition', '"transition", dict'),
    "a method is missing": lambda good: good.replace("@hookimpl", LOSS + "@hookimpl").replace(ADDED, ADDED_LOSS),
    "no `Config`": lambda good: re.sub(r"    class Config.*?\n\n", "", good, count=1, flags=re.DOTALL),
    "a field without description": lambda good: good.replace(', description="probability that a base is swapped"', ""),
    "a reserved field": lambda good: good.replace("probability: float", "weight: float"),
    "an invalid value": lambda good: good.replace("@hookimpl", LOSS + COUNTS + "@hookimpl").replace(ADDED, ADDED_LOSS),
    "an invalid component name": lambda good: good.replace('add("transition"', 'add("My-Own"'),
}
ROWS = dict(re.findall(r"^\| ([^|]+?) \| (.+) \|$", GUIDE[GUIDE.index("## Error messages") :], re.MULTILINE))


def loaded(tmp_path, monkeypatch, code):
    monkeypatch.syspath_prepend(install(tmp_path / "site", "findna-transition", code, version="0.1.0"))
    monkeypatch.delitem(sys.modules, "findna_transition", raising=False)
    components, plugins = load_plugins()
    monkeypatch.delitem(sys.modules, "findna_transition", raising=False)
    (plugin,) = [plugin for plugin in plugins if plugin.owner.plugin == "transition"]
    return components, plugin


def test_the_plugin_that_is_broken_below_is_good(tmp_path, monkeypatch):
    components, plugin = loaded(tmp_path, monkeypatch, GOOD.replace("from __future__ import annotations\n", ""))
    assert plugin.failure is None
    assert "transition" in components.augmentations
    assert f"{API_VERSION} today" in GUIDE


def test_every_row_of_the_table_has_its_plugin():
    assert [*ROWS][2:] == [*WRONG]


@pytest.mark.parametrize("what", WRONG)
def test_what_is_said_of_a_plugin_that_is_wrong(tmp_path, monkeypatch, what):
    code = WRONG[what](GOOD.replace("from __future__ import annotations\n", ""))
    _, plugin = loaded(tmp_path, monkeypatch, code)
    said = re.match(r"(`+)(.*?)\1", ROWS[what])[2]
    assert plugin.failure is not None
    assert str(plugin).startswith("transition (findna-transition 0.1.0) failed to load: ")
    assert said in str(plugin)

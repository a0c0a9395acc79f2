"""docs/architecture.md: a loss is two files and a line, and so is an encoder. Done as it says, in a copy of the tree."""

import json
import os
import re
import shutil
import subprocess
import sys

import jsonschema
import pytest

from tests.building import ROOT, SMALL, sets

PAGE = (ROOT / "docs" / "architecture.md").read_text()
FILES = dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
(LINE,) = re.findall(r"^    registry\.losses\.add\(.*\)$", PAGE, re.MULTILINE)

ENCODER = '''"""An encoder that looks at one base at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field
from torch import Tensor, nn

from findna_kit import alphabet
from findna_kit.components.interfaces import ComponentConfig, Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence


class MyEncoder(Encoder):
    """A linear layer and a tanh."""

    class Config(ComponentConfig):
        """Size of the encoder."""

        dim: int = Field(16, gt=0, description="width of the embeddings")

    global_mixing = False

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim, self.depth = config.dim, 1
        self.embed = nn.Linear(alphabet.CHANNELS, config.dim)

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Embeddings [B, L, dim]."""
        x = self.embed(bases).tanh()
        return x, dict.fromkeys(layers, x)
'''
ENCODER_TEST = """import torch

from findna_kit.builtin.encoders.my_encoder import MyEncoder


def test_a_base_is_seen_alone():
    encoder = MyEncoder(MyEncoder.Config(), length=4, class_tokens=0)
    x, _ = encoder(torch.eye(5)[None, [0, 1, 0, 4]], torch.ones(1, 4, dtype=torch.bool))
    assert x.shape == (1, 4, 16) and x[0, 0].equal(x[0, 2]) and not x[0, 0].equal(x[0, 1])
"""
MINE = """base: self_distill
name: mine
views: {shifted: null}
encoder: {name: my_encoder, dim: 6}
losses: {distill: null, near: {name: my_loss, weight: 0.5}}
"""

CALLS = """
import json, sys
from pathlib import Path
from tests.installing import findna
import findna_kit
answers = [findna(*words) for words in json.load(sys.stdin)]
shape = findna_kit.load("whole").embed(["ACGTN"]).shape if Path("whole").is_dir() else None
print(json.dumps([findna_kit.__file__, shape, answers]))
"""


def register(builtin, module, name, line):
    """The line at the end of the hook, and the import above."""
    text = builtin.read_text().rstrip("\n")
    last = [one for one in text.splitlines() if one.startswith("from findna_kit.builtin.")][-1]
    text = text.replace(last, f"{last}\nfrom findna_kit.builtin.{module} import {name}")
    builtin.write_text(f"{text}\n{line}\n")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of what is installed, with the loss of the page and an encoder put in."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("findna_kit", "recipes"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tree)
    (tree / "tests" / "builtin").mkdir(parents=True)
    written = {
        **FILES, "findna_kit/builtin/encoders/my_encoder.py": ENCODER, "tests/builtin/test_my_encoder.py": ENCODER_TEST,
    }  # fmt: skip
    for name, text in written.items():
        assert not (tree / name).exists()
        (tree / name).write_text(text)
    register(tree / "findna_kit" / "builtin" / "__init__.py", "losses.my_loss", "MyLoss", LINE)
    own = LINE.replace("losses", "encoders").replace("my_loss", "my_encoder").replace("MyLoss", "MyEncoder")
    register(tree / "findna_kit" / "builtin" / "__init__.py", "encoders.my_encoder", "MyEncoder", own)
    return tree


@pytest.fixture
def called(tree, tmp_path):
    """Commands in one process that runs the copy: (code, stdout, stderr) of each, and of an embedding by the run there is."""

    def called(*commands):
        done = subprocess.run(
            [sys.executable, "-c", CALLS], input=json.dumps([[*map(str, words)] for words in commands]), cwd=tmp_path,
            capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), str(ROOT)])},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        where, shape, answers = json.loads(done.stdout.splitlines()[-1])
        assert where.startswith(str(tree))
        return answers, shape

    return called


def test_the_page_has_two_files_and_a_line():
    assert list(FILES) == ["findna_kit/builtin/losses/my_loss.py", "tests/builtin/test_my_loss.py"]
    assert LINE == '    registry.losses.add("my_loss", MyLoss)'


def test_their_tests_pass(tree):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tree, "-c", os.devnull, "tests"],
        cwd=tree, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tree)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_they_are_listed_checked_trained_and_resumed(called, tmp_path):
    (tmp_path / "mine.yaml").write_text(MINE)
    size = sets(*(one for one in SMALL if not one.startswith("encoder")), "steps=3", "trainer.checkpoint_every=1")
    run = ("run", "mine.yaml", *size, "--device", "cpu", "--resume")
    answers, shape = called(
        ("components", "my_loss"), ("components", "my_encoder"), ("check", "mine.yaml"),
        ("check", "mine.yaml", "--set", "losses.near.momentum=2"), ("check", "mine.yaml", "--set", "encoder.dmi=6"),
        (*run, "whole"), (*run, "halved"),
    )  # fmt: skip
    assert [code for code, _, _ in answers] == [0, 0, 0, 2, 2, 0, 0], answers
    assert shape == [1, 6]
    assert "share of the old mean kept per step" in answers[0][1]
    assert "width of the embeddings" in answers[1][1]
    assert answers[2][1].startswith("mine: valid; ")
    assert "losses.near.momentum: must be at most 1 (got 2)" in answers[3][2]
    assert "encoder.dmi: unknown key; did you mean 'dim'?" in answers[4][2]
    shutil.rmtree(tmp_path / "halved" / "checkpoints" / "step-00000003")
    ((code, _, said),), _ = called((*run, "halved"))
    assert code == 0, said
    for name in ("model.safetensors", "state.safetensors"):
        whole, halved = (tmp_path / one / "checkpoints" / "step-00000003" / name for one in ("whole", "halved"))
        assert whole.read_bytes() == halved.read_bytes()
    components = json.loads((tmp_path / "whole" / "run.json").read_text())["components"]
    assert components["loss"].keys() == {"masked_nucleotides", "my_loss"}
    assert components["encoder"].keys() == {"my_encoder"}


def test_the_schema_is_the_one_file_to_write_anew(called, tree):
    beside = json.loads((tree / "recipes" / "recipe.schema.json").read_text())
    ((code, schema, said),), _ = called(("schema", "--without", "example"))
    assert code == 0, said
    assert json.loads(schema) != beside, "make schema"
    mine = {"base": "self_distill", "encoder": {"name": "my_encoder", "dim": 6}, "losses": {"near": {"name": "my_loss"}}}
    assert jsonschema.Draft7Validator(json.loads(schema)).is_valid(mine)
    assert not jsonschema.Draft7Validator(beside).is_valid(mine)

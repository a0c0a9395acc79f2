"""Two gloo processes give what one gives, for every recipe of recipes/methods: queues, centres, assignments, predictors."""

import json
import os
import subprocess
import sys

import pytest
import torch

from findna_kit.engine import Engine
from tests.building import ROOT
from tests.recipe.two_processes import METHODS, STEPS, steps

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """By recipe, what came out of two processes under torchrun."""
    out = tmp_path_factory.mktemp("methods") / "two.json"
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "-m", "tests.recipe.two_processes", str(out)],
        capture_output=True, text=True, timeout=540, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_fifty_steps(path, two):
    metrics, _ = steps(Engine(torch.device("cpu"), "fp32"), path)
    found = two[path.stem]
    assert found["agree"], "student, teacher, heads, losses and optimizer are the same bits in both"
    assert len(metrics) == len(found["metrics"]) == STEPS == 50
    for step, (mine, theirs) in enumerate(zip(metrics, found["metrics"], strict=True)):
        losses = {name: value for name, value in mine.items() if name == "loss" or name.endswith("/loss")}
        # A mean of cosines may come to nearly nothing (simsiam, rc_consistency): of numbers up to 1, 1e-6 is rounding.
        assert {name: theirs[name] for name in losses} == pytest.approx(losses, rel=1e-5, abs=1e-6), f"step {step}"

"""Two gloo processes give what one process gives."""

import os
import subprocess
import sys

import pytest
import torch

from findna_kit.engine import Engine
from tests.building import ROOT
from tests.trainer.two_processes import steps


def test_two_processes_equal_one(tmp_path):
    """Gradients, counts, carry and cached embeddings, over three steps of all three losses, micro-batches of 3 and 1."""
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "-m", "tests.trainer.two_processes", str(tmp_path / "two.pt")],
        capture_output=True, text=True, timeout=240, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    two = torch.load(tmp_path / "two.pt", weights_only=True)
    tensors, metrics = steps(Engine(torch.device("cpu"), "fp32"))
    for mine, theirs in zip(metrics, two["metrics"], strict=True):
        assert mine.keys() == theirs.keys()
        for name, value in mine.items():
            assert theirs[name] == pytest.approx(value, rel=1e-5, abs=1e-6), name
    assert tensors.keys() == two["tensors"].keys()
    for name, tensor in tensors.items():
        # AdamW divides by the root of a square: where a gradient is near 0, rounding decides which way a weight goes.
        torch.testing.assert_close(two["tensors"][name], tensor, rtol=1e-3, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")

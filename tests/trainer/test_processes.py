"""Two gloo processes give what one process gives."""

import os
import subprocess
import sys

import pytest
import torch

from findna_kit.distributed import Engine
from tests.building import ROOT
from tests.trainer.two_processes import STEPS, steps, write_genome


@pytest.fixture(scope="module")
def one_and_two(tmp_path_factory):
    """What came out of one process, and of two under torchrun."""
    folder = tmp_path_factory.mktemp("processes")
    write_genome(folder / "genome.fa")
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "-m", "tests.trainer.two_processes", str(folder / "genome.fa"), str(folder / "two.pt")],
        capture_output=True, text=True, timeout=240, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    one = steps(Engine(torch.device("cpu"), "fp32"), folder / "genome.fa")
    return one, torch.load(folder / "two.pt", weights_only=True)


def assert_equal_to_rounding(one, two, tolerance):
    """Each tensor differs by at most this share of its largest number."""
    assert one.keys() == two.keys()
    far = {name: float((one[name] - two[name]).abs().max() / one[name].abs().max().clamp(min=1e-30)) for name in one}
    assert {name: distance for name, distance in far.items() if not distance <= tolerance} == {}


def test_counts_are_those_of_the_whole_batch(one_and_two):
    one, two = one_and_two
    first, second = two["masked_items"]
    assert first != second, "else a mean of means would do"
    assert two["counts"] == one["counts"] == {"masked": first + second, "distill": 16, "contrast": 16}


def test_processes_compare_their_tensors_bit_for_bit(one_and_two):
    assert one_and_two[1]["agree"] == [True, False, False]


def test_gradients_of_the_first_step(one_and_two):
    one, two = one_and_two
    for owner in ("student.encoder", "student.heads.distill", "student.heads.contrast", "student.heads.masked"):
        assert any(name.startswith(owner) and gradient.any() for name, gradient in one["gradients"].items()), owner
    assert_equal_to_rounding(one["gradients"], two["gradients"], 2e-6)


def test_fifty_steps(one_and_two):
    """Losses, their metrics and the gradient's norm of every step: sums of samples, carry, and cached embeddings."""
    one, two = one_and_two
    assert len(one["metrics"]) == len(two["metrics"]) == STEPS == 50
    assert {"masked/loss", "distill/loss", "contrast/loss", "loss", "gradient_norm"} <= one["metrics"][0].keys()
    for step, (mine, theirs) in enumerate(zip(one["metrics"], two["metrics"], strict=True)):
        assert theirs == pytest.approx(mine, rel=1e-5), f"step {step}"
    assert abs(one["metrics"][-1]["distill/loss"] - one["metrics"][0]["distill/loss"]) > 0.1, "it has gone somewhere"


def test_tensors_after_fifty_steps(one_and_two):
    """Student, teacher, heads, the centre and the optimizer's moments; that both processes hold the same bits they assert."""
    one, two = one_and_two
    for owner in ("student.", "teacher.", "losses.distill.", "optimizer."):
        assert any(name.startswith(owner) for name in one["tensors"]), owner
    assert_equal_to_rounding(one["tensors"], two["tensors"], 1e-5)

"""Gradients are summed once a step, whatever the micro-batches and the losses, and in the same order each time."""

import json
import os
import subprocess
import sys

import pytest

from tests.building import ROOT
from tests.trainer.summing import STEPS

pytestmark = pytest.mark.slow


def summed(processes, out):
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes),
         "-m", "tests.trainer.summing", str(out)],
        capture_output=True, text=True, timeout=240, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text())


@pytest.mark.parametrize("processes", [2, 3])  # of two numbers the sum is the same in any order; of three it is not
def test_gradients_are_summed_once_a_step_and_give_the_same_bits_again(processes, tmp_path):
    once, again = (summed(processes, tmp_path / name) for name in ("once", "again"))
    assert once["coupled"] == ["contrast"], "which is cached, unlike the other losses"
    assert len(once["collectives"]) == STEPS
    for seen in once["collectives"]:
        sums = [numbers for name, numbers in seen if name != "c10d.allgather_.default" and numbers > 1]
        gradients, *statistics = sums
        assert gradients == once["numbers"] + once["parameters"], "all gradients at once, and who has one"
        assert statistics == [once["marginal"]], "a metric's mean over the batch; all other metrics are single numbers"
        assert {name for name, _ in seen} == {"c10d.allreduce_.default", "c10d.allgather_.default"}
    assert once["agree"]
    assert again == once

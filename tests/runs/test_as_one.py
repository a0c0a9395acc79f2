"""Fifty steps of two processes are those of one: by the kit itself and under torchrun, and in turns with one, in one run."""

import json
import sys

import pytest
from safetensors.torch import load_file

from findna_kit import checkpoint
from findna_kit.metrics.writers import read_rows
from findna_kit.plugins.entry_points import REPORTERS
from tests.building import SMALL, SMALL_HEAD, sets
from tests.installing import install_package
from tests.runs.test_several import LAUNCHERS, ended, launch
from tests.trainer.test_processes import assert_equal_to_rounding

pytestmark = pytest.mark.slow

STEPS = 50
RECIPES = {
    "self_distill": SMALL_HEAD,
    "info_nce": ("losses.contrast.hidden=32", "losses.contrast.output=16"),  # coupled over the batch
    # 16 keys a step: the queue is full after 6, and from then on the oldest leave. Nobody reads the class tokens, whose
    # parameters (of this encoder) never have a gradient.
    "methods/moco": (
        "views.crop.length=48",
        "losses.agree.hidden=32",
        "losses.agree.output=16",
        "losses.agree.queue=96",
        "encoder={name: dilated_conv, dim: 16, hidden: 32, blocks: 2, kernel: 3}",
    ),
}
STOPS = """
import os
import signal

def stops(run, recipe):
    def tell(step, metrics):
        if str(step) == os.environ.get("STOP_AT"):
            os.kill(os.getppid() if "FINDNA_KIT_SUPERVISOR" in os.environ else os.getpid(), signal.SIGTERM)
    return tell
"""
"""A reporter that asks the run to stop, as a user does who wants to resume it on another machine."""


def run(name, *arguments, program=(sys.executable,), code=0, **more):
    """What `findna-kit run` of the recipe says on stderr."""
    choices = sets(
        *SMALL, *RECIPES[name], f"steps={STEPS}", "encoder.dropout=0", "trainer.micro_batch=3", "trainer.keep_last=99",
        "optimizer.learning_rate=3.0e-4",
    )  # fmt: skip
    found, _, err = ended(launch(program, *arguments, recipe=(name, *choices), **more))
    assert found == code, err
    return err


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """By recipe, the run of one process that nothing interrupts."""
    made = {}

    def of(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("whole") / "run"
            run(name, "--out", made[name], cwd=made[name].parent)
        return made[name]

    return of


def tensors(folder):
    """All of the last checkpoint: networks, heads, losses, optimizer."""
    last = checkpoint.path_of(folder, STEPS)
    return {**load_file(last / checkpoint.MODEL), **load_file(last / checkpoint.STATE)}


def assert_as_one(one, other):
    """Losses and the gradient norm of every step, and all tensors at the end: to 1e-5. The most that was found is 4e-6."""
    for name in ("loss", "gradient_norm"):
        mine, theirs = ({row["step"]: row[name] for row in read_rows(folder) if name in row} for folder in (one, other))
        assert mine.keys() == theirs.keys() == set(range(1, STEPS + 1))
        assert theirs == pytest.approx(mine, rel=1e-5), name
    assert_equal_to_rounding(tensors(one), tensors(other), 1e-5)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("by", LAUNCHERS)
def test_two_are_one(by, name, whole, tmp_path):
    program, more = LAUNCHERS[by]
    stderr = run(name, "--out", "run", *more, program=program, cwd=tmp_path)
    assert stderr.count(f"{by}: 2 processes on 1 node share each batch") == 1
    assert_as_one(whole(name), tmp_path / "run")


@pytest.mark.parametrize("name", RECIPES)
def test_stopped_with_two_it_resumes_with_one_and_then_with_two(name, whole, tmp_path):
    site = install_package(tmp_path / "site", "findna-stops", {"stops.py": STOPS}, {REPORTERS: {"stops": "stops:stops"}})
    folder, before, saved, rows = tmp_path / "run", 0, {}, []
    for processes, stop_at in ((2, 12), (1, 30), (2, None)):
        stderr = run(
            name, "--resume", folder, "--report", "stops", "--set", f"trainer.devices={processes}", cwd=tmp_path,
            code=143 if stop_at else 0, env={"PYTHONPATH": str(site), "STOP_AT": str(stop_at)},
        )  # fmt: skip
        if before:
            change = f"resumed with processes {processes}, was {3 - processes}: equal to rounding, not bit for bit"
            assert stderr.count(change) == 1, stderr
        found = {step: checkpoint.path_of(folder, step).stat().st_mtime_ns for step in checkpoint.steps_saved(folder)}
        assert found | saved == found, "what was saved before is as it was"
        assert read_rows(folder)[: len(rows)] == rows, "and so are the rows, the speed in them included"
        saved, rows = found, read_rows(folder)
        last = max(saved)
        assert [row["step"] for row in rows] == list(range(last + 1))
        if stop_at:
            assert max(before + 1, stop_at) <= last < STEPS
            assert stderr.count(f"SIGTERM: step {last} of {STEPS} is saved") == 1, stderr
        before = last
    assert before == STEPS
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"
    assert_as_one(whole(name), folder)

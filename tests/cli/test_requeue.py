"""A job that is requeued is one line: the same command starts, goes on and ends, whatever stopped it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from findna_kit import checkpoint
from findna_kit.errors import Interrupted
from findna_kit.metrics.writers import read_rows
from findna_kit.runs import RunLocation, start
from tests.building import SMALL, SMALL_HEAD, sets, small
from tests.trainer.test_resume import interrupt_at, without_times


def job(folder):
    """The command line, which is one and the same each time."""
    overrides = sets(*SMALL, *SMALL_HEAD, "steps=60", "trainer.checkpoint_every=5", "trainer.validate_every=10")
    line = ["run", "self_distill", *overrides, "--resume", str(folder), "--device", "cpu"]
    return subprocess.Popen(
        [sys.executable, "-m", "findna_kit", *line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )


def ended(process, code):
    """What it said on stderr."""
    _, said = process.communicate(timeout=120)
    assert process.returncode == code, said
    assert "Traceback" not in said
    return said


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A job that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    ended(job(folder), 0)
    return folder


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGKILL, -9, marks=pytest.mark.slow)])
def test_the_same_line_starts_goes_on_and_ends(number, code, whole, tmp_path):
    folder = tmp_path / "not" / "there" / "yet"
    process = job(folder)
    until = time.monotonic() + 120
    while not (saved := checkpoint.steps_saved(folder)) or saved[-1] < 5:
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.005)
    process.send_signal(number)
    said = ended(process, code)
    stopped_at = checkpoint.steps_saved(folder)[-1]
    assert 5 <= stopped_at < 60
    if number == signal.SIGTERM:
        assert f"SIGTERM: step {stopped_at} of 60 is saved; continue with --resume {folder}" in said
        assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    ended(job(folder), 0)
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"
    mine, theirs = (checkpoint.path_of(run, 60) for run in (folder, whole))
    for name in (checkpoint.MODEL, checkpoint.STATE):
        assert (mine / name).read_bytes() == (theirs / name).read_bytes(), name
    assert without_times(read_rows(folder)) == without_times(read_rows(whole))
    before = (mine / checkpoint.MODEL).stat().st_mtime_ns
    ended(job(folder), 0)  # a finished job that is started again has nothing to do
    assert (mine / checkpoint.MODEL).stat().st_mtime_ns == before


@pytest.mark.parametrize(("first", "then", "left"), [(2, 2, [0, 6, 7]), (3, 1, [0, 7]), (1, 4, [0, 4, 5, 6, 7])])
def test_keep_last_is_obeyed_and_may_change_on_resume(first, then, left, tmp_path):
    """Checkpoint 0 and the newest ones; what an earlier, smaller number removed is gone."""

    def attempt(keep_last, **stop):
        recipe, components, plugins = small(
            "masked_only", "steps=7", "trainer.checkpoint_every=1", f"trainer.keep_last={keep_last}"
        )
        start(recipe, RunLocation(resume=tmp_path / "run"), components=components, plugins=plugins, device="cpu", **stop)

    with pytest.raises(Interrupted):
        attempt(first, observer=interrupt_at(4))
    assert checkpoint.steps_saved(tmp_path / "run") == [0, *range(5 - first, 5)]
    attempt(then)
    assert checkpoint.steps_saved(tmp_path / "run") == left

"""Several processes, one run: by the kit itself and under torchrun; stopped, resumed by another number, and killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import findna_kit
from findna_kit import checkpoint
from findna_kit.metrics.writers import read_rows
from tests.building import SMALL, SMALL_HEAD, command, sets
from tests.installing import findna

CHOICES = sets(
    *SMALL, *SMALL_HEAD, "steps=12", "encoder.dropout=0", "trainer.micro_batch=4", "optimizer.learning_rate=3.0e-4",
)  # fmt: skip
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def launch(program, *arguments, cwd, **more):
    """`findna-kit run self_distill` of the choices, going on by itself."""
    words = [*program, "-m", "findna_kit", "run", "self_distill", *CHOICES, *map(str, arguments)]
    env = {**os.environ, **ONE_THREAD}
    return subprocess.Popen(words, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def ended(process, seconds=120):
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def children(pid):
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for_step(run, step, seconds=90):
    """Until the run has that checkpoint."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if step in checkpoint.steps_saved(run):
            return
        time.sleep(0.05)
    raise AssertionError(f"{run} has no step {step} after {seconds} s")


def losses(run):
    return {row["step"]: row["loss"] for row in read_rows(run) if "loss" in row}


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The run of one process."""
    folder = tmp_path_factory.mktemp("one")
    code, _, err = ended(launch([sys.executable], "--out", "run", cwd=folder))
    assert code == 0, err
    return folder / "run"


LAUNCHERS = {"findna-kit": ([sys.executable], ["--set", "trainer.devices=2"]), "torchrun": (TORCHRUN, [])}


@pytest.fixture(scope="module", params=LAUNCHERS)
def two(request, tmp_path_factory):
    """The run of two processes, what it said, and by whom it was started."""
    folder = tmp_path_factory.mktemp("two")
    program, more = LAUNCHERS[request.param]
    code, out, err = ended(launch(program, "--out", "run", *more, cwd=folder))
    assert code == 0, err
    return folder / "run", out, err, request.param


def test_two_are_one(one, two):
    run, _, _, _ = two
    assert losses(run).keys() == losses(one).keys() == set(range(1, 13))
    assert losses(run) == pytest.approx(losses(one), rel=1e-5)
    mine, theirs = (findna_kit.load(folder, device="cpu").embed(["ACGTTGCANACGT"]) for folder in (one, run))
    assert mine == pytest.approx(theirs, rel=1e-3, abs=1e-5)


def test_one_speaks_and_writes(two):
    run, out, err, by = two
    assert out.count("12 steps in") == 1
    assert err.count(f"{by}: 2 processes on 1 node share each batch") == 1
    assert err.count("recipe: the shipped recipe") == 1
    assert [row["step"] for row in read_rows(run)] == list(range(13))
    record = json.loads((run / "run.json").read_text())
    assert (record["status"], record["resolved"]["processes"]) == ("finished", 2)
    assert "  devices: 2\n  nodes: 1\n" in (run / "recipe.yaml").read_text()


def test_a_launcher_and_a_recipe_that_differ_are_refused(tmp_path):
    code, _, err = ended(launch(TORCHRUN, "--out", "run", "--set", "trainer.devices=3", cwd=tmp_path))
    assert code != 0
    assert "torchrun started 2 processes on 1 nodes, the recipe states 3 devices on 1 nodes: make them agree" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("choice", "sentence"), [
    ("trainer.devices=3", "data.batch_size 8 does not divide into 3 processes"),
    ("trainer.nodes=2", "trainer.nodes 2: on several machines a launcher starts the processes: srun findna-kit run"),
])  # fmt: skip
def test_what_cannot_be_shared_is_refused_before_anything_starts(choice, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = findna("run", "self_distill", *CHOICES, "--set", choice, "--out", "run")
    assert code == 2, err
    assert sentence in err
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_taken_is_refused_once(one, tmp_path):
    code, _, err = ended(launch([sys.executable], "--out", one, "--set", "trainer.devices=2", cwd=tmp_path))
    assert code == 2, err
    assert err.count("is there already") == 1


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_stopped_with_some_it_goes_on_with_others(first, then, one, tmp_path):
    run = tmp_path / "run"
    started = launch([sys.executable], "--resume", run, "--set", f"trainer.devices={first}", "--set", "steps=400", cwd=tmp_path)
    wait_for_step(run, 3)
    started.send_signal(signal.SIGTERM)
    code, _, err = ended(started)
    assert code == 143, err
    assert err.count("SIGTERM: step ") == 1
    saved = checkpoint.steps_saved(run)[-1]
    going_on = command(
        "run", "self_distill", *CHOICES, "--resume", run, *sets(f"trainer.devices={then}", "steps=400"), "--set",
        "trainer.log_every=100", cwd=tmp_path, env=ONE_THREAD, timeout=200,
    )  # fmt: skip
    assert going_on.returncode == 0, going_on.stderr
    assert f"resumed with processes {then}, was {first}: equal to rounding, not bit for bit" in going_on.stderr
    rows = losses(run)
    assert max(rows) == 400 and saved in rows
    assert json.loads((run / "run.json").read_text())["status"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("by", LAUNCHERS)
@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_is_killed_ends_the_other_with_one_message(by, victim, tmp_path):
    program, more = LAUNCHERS[by]
    run = tmp_path / "run"
    started = launch(program, "--out", run, *more, "--set", "steps=100000", cwd=tmp_path)
    wait_for_step(run, 3)
    ranks = children(started.pid)
    assert len(ranks) == 2
    began = time.monotonic()
    os.kill(ranks[victim], signal.SIGKILL)
    code, _, err = ended(started, 60)
    assert time.monotonic() - began < 60
    assert not any(Path(f"/proc/{rank}").exists() for rank in ranks)
    assert code == (3 if by == "findna-kit" else 1), err  # torchrun has a code of its own
    assert err.count(f"go on with --resume {run}") == 1, err
    assert f"{Path(findna_kit.__file__).parent}/" not in err, "no traceback of ours; torchrun prints one of its own"
    latest = checkpoint.steps_saved(run)[-1]
    assert latest >= 3
    assert findna_kit.load(run, device="cpu").step == latest
    if victim == 1:
        record = json.loads((run / "run.json").read_text())
        assert record["status"] == "stopped"


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_hangs_ends_the_other_with_one_message(victim, tmp_path):
    """By the heartbeat: 40 s without one, and as long again until the supervisor ends what does not end by itself."""
    run = tmp_path / "run"
    started = launch([sys.executable], "--out", run, "--set", "trainer.devices=2", "--set", "steps=100000", cwd=tmp_path)
    wait_for_step(run, 3)
    ranks = children(started.pid)
    os.kill(ranks[victim], signal.SIGSTOP)
    code, _, err = ended(started, 150)
    assert code == 3, err
    assert not any(Path(f"/proc/{rank}").exists() for rank in ranks)
    assert err.count(f"process {victim} of 2 has given no sign of life, and the run has stopped") == 1, err
    assert err.count(f"go on with --resume {run}") == 1, err
    assert findna_kit.load(run, device="cpu").step == checkpoint.steps_saved(run)[-1] >= 3

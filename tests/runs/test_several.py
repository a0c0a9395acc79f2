"""Several processes, one run: by the kit itself and under torchrun; refused, parted, and killed. What they compute, and
stopping and going on with another number: test_as_one.py."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import findna_kit
from findna_kit import checkpoint
from findna_kit.metrics.writers import read_rows
from tests.building import SMALL, SMALL_HEAD, sets
from tests.installing import findna, install

CHOICES = sets(
    *SMALL, *SMALL_HEAD, "steps=12", "encoder.dropout=0", "trainer.micro_batch=4", "optimizer.learning_rate=3.0e-4",
)  # fmt: skip
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def launch(program, *arguments, cwd, env=None, recipe=("self_distill", *CHOICES)):
    """`findna-kit run` of the recipe and its choices, going on by itself."""
    words = [*program, "-m", "findna_kit", "run", *recipe, *map(str, arguments)]
    env = {**os.environ, **ONE_THREAD, **(env or {})}
    return subprocess.Popen(words, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


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


WRITES = """
import os
import sys

def record(event, arguments):
    if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
        return
    if event in EVENTS:
        written.writelines(f"{os.path.abspath(os.fsdecode(path))}\\n" for path in arguments if isinstance(path, (str, bytes)))

if "RANK" in os.environ:
    EVENTS = {"open", *(f"os.{what}" for what in "chmod link mkdir remove rename rmdir symlink truncate utime".split())}
    written = open(f"{os.environ['WRITTEN']}-{os.environ['RANK']}", "w", buffering=1)
    sys.addaudithook(record)
"""
"""Run by Python in every process before anything else: notes the paths that are opened for writing, made, moved or removed."""


@pytest.fixture(scope="module", params=LAUNCHERS)
def two(request, tmp_path_factory):
    """The run of two processes, its output and its launcher; `written-RANK` next to it lists what each process wrote."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(WRITES)
    program, more = LAUNCHERS[request.param]
    env = {"PYTHONPATH": str(folder / "site"), "WRITTEN": str(folder / "written")}
    code, out, err = ended(launch(program, "--out", "run", *more, cwd=folder, env=env))
    assert code == 0, err
    return folder / "run", out, err, request.param


def test_two_are_one(one, two):
    run, _, _, _ = two
    assert losses(run).keys() == losses(one).keys() == set(range(1, 13))
    assert losses(run) == pytest.approx(losses(one), rel=1e-5)
    mine, theirs = (findna_kit.load(folder, device="cpu").embed(["ACGTTGCANACGT"]) for folder in (one, run))
    assert mine == pytest.approx(theirs, rel=1e-3, abs=1e-5)


def test_the_main_process_prints_and_writes(two):
    run, out, err, by = two
    assert out.count("12 steps in") == 1
    assert err.count(f"{by}: 2 processes on 1 node share each batch") == 1
    assert err.count("recipe: the shipped recipe") == 1
    assert [row["step"] for row in read_rows(run)] == list(range(13))
    record = json.loads((run / "run.json").read_text())
    assert (record["status"], record["resolved"]["processes"]) == ("finished", 2)
    assert "  devices: 2\n  nodes: 1\n" in (run / "recipe.yaml").read_text()


def test_only_the_main_process_writes(two):
    """Tensors are written by safetensors, out of Python's sight, into a folder that is made and moved by Python."""
    run, *_ = two
    first, second = (
        [Path(path) for path in (run.parent / f"written-{rank}").read_text().splitlines() if Path(path).is_relative_to(run)]
        for rank in (0, 1)
    )
    parts = {path.relative_to(run).parts[0] for path in first if path != run}
    assert {".lock", "checkpoints", "metrics.jsonl", "recipe.yaml", "run.json", "tensorboard"} <= parts
    assert second == []
    assert len(list(run.rglob("*tfevents*"))) == 1


@pytest.mark.parametrize(("processes", "stated", "sentence"), [
    (2, ("trainer.devices=3",), "started trainer.devices 2 on trainer.nodes 1, but the recipe states 3 on 1:"),
    (1, ("trainer.devices=2",), "started trainer.devices 1 on trainer.nodes 1, but the recipe states 2 on 1:"),
    pytest.param(
        2, ("trainer.nodes=2",), "started trainer.devices 2 on trainer.nodes 1, but the recipe states 1 on 2:",
        marks=pytest.mark.slow,
    ),
], ids=["more devices", "more than one", "more nodes"])  # fmt: skip
def test_a_launcher_and_a_recipe_that_differ_are_refused_once(processes, stated, sentence, tmp_path):
    program = (*TORCHRUN[:-1], str(processes))
    code, _, err = ended(launch(program, "--out", "run", *sets(*stated), cwd=tmp_path))
    assert code != 0
    assert err.count("the recipe states") == err.count(f"torchrun {sentence}") == 1, err
    assert f"{Path(findna_kit.__file__).parent}/" not in err, "no traceback of ours"
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_same_number_on_other_nodes_is_refused_once(tmp_path):
    """Two nodes of one each, as two torchruns of this machine; the recipe states two on one."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    nodes = [
        launch(
            (sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--node-rank", str(node),
             "--master-addr", "127.0.0.1", "--master-port", str(port)),
            "--out", "run", "--set", "trainer.devices=2", cwd=tmp_path,
        )
        for node in (0, 1)
    ]  # fmt: skip
    codes, _, errors = zip(*map(ended, nodes), strict=True)
    assert 0 not in codes
    sentence = "torchrun started trainer.devices 1 on trainer.nodes 2, but the recipe states 2 on 1: make them equal"
    assert [err.count(sentence) for err in errors] == [1, 0], errors
    assert not (tmp_path / "run").exists()


def test_torchrun_of_one_is_a_run_of_one(one, tmp_path):
    code, _, err = ended(launch((*TORCHRUN[:-1], "1"), "--out", "run", cwd=tmp_path))
    assert code == 0, err
    assert "share each batch" not in err
    assert losses(tmp_path / "run") == losses(one)


DRIFTS = """
import os
import torch
from findna_kit.builtin.losses.self_distillation import SelfDistillation
from findna_kit.builtin.teacher_updates.ema import EMA
from findna_kit.components import hookimpl

findna_kit_api = 2

def drift(tensor, clock):
    if clock.step == 4 and os.environ["RANK"] == "1":
        with torch.no_grad():
            tensor.add_(1e-3)

class DriftingEMA(EMA):
    "Another teacher on the second machine from the fifth step on."
    def __call__(self, teacher, student, clock, metrics):
        logged = super().__call__(teacher, student, clock, metrics)
        drift(next(teacher.parameters()), clock)
        return logged

class DriftingCentre(SelfDistillation):
    "Another centre there: the student, whose gradients are summed, is still the same."
    def after_step(self, carry, clock):
        super().after_step(carry, clock)
        drift(self.center, clock)

@hookimpl
def findna_kit_register(registry):
    registry.teacher_updates.add("drifting", DriftingEMA)
    registry.losses.add("drifting", DriftingCentre)
"""


@pytest.mark.parametrize("part", [
    "teacher_update={name: drifting, momentum: 0.98}",
    pytest.param("losses.distill={name: drifting, hidden: 32, bottleneck: 16, prototypes: 24}", marks=pytest.mark.slow),
])  # fmt: skip
def test_processes_that_differ_stop_with_one_message_and_save_nothing_more(part, tmp_path):
    site, run = install(tmp_path / "site", "findna-drifts", DRIFTS), tmp_path / "run"
    choices = sets(part, "trainer.devices=2", "trainer.keep_last=9")
    code, _, err = ended(launch([sys.executable], "--out", run, *choices, cwd=tmp_path, env={"PYTHONPATH": str(site)}))
    assert code == 3, err
    assert err.count("step 6: the processes hold different networks or losses, which must never happen; this step is not") == 1
    assert "Traceback" not in err
    assert checkpoint.steps_saved(run) == [0, 3], "the last step before the second process drifted, and none after"
    record = json.loads((run / "run.json").read_text())
    assert (record["status"], record["reason"].partition(":")[0]) == ("stopped", "step 6")


@pytest.mark.parametrize(("choice", "sentence"), [
    ("trainer.devices=3", "data.batch_size 8 is not divisible by the number of processes, 3"),
    ("trainer.nodes=2", "trainer.nodes 2: on several machines a launcher starts the processes: srun findna-kit run"),
])  # fmt: skip
def test_a_batch_that_cannot_be_shared_is_refused_before_anything_starts(choice, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = findna("run", "self_distill", *CHOICES, "--set", choice, "--out", "run")
    assert code == 2, err
    assert sentence in err
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_taken_is_refused_once(one, tmp_path):
    code, _, err = ended(launch([sys.executable], "--out", one, "--set", "trainer.devices=2", cwd=tmp_path))
    assert code == 2, err
    assert err.count("already exists") == 1


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
    assert err.count(f"continue with --resume {run}") == 1, err
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
    assert err.count(f"process {victim} of 2 no longer responds, and the run has stopped") == 1, err
    assert err.count(f"continue with --resume {run}") == 1, err
    assert findna_kit.load(run, device="cpu").step == checkpoint.steps_saved(run)[-1] >= 3

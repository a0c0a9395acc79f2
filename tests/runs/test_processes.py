"""Whose numbers of processes count, and a Slurm job that is queued again."""

import os
import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from findna_kit.distributed import SUPERVISOR, Engine, Launch
from findna_kit.errors import FindnaError, Interrupted, PluginError
from findna_kit.runs import RunLocation, start
from findna_kit.runs.processes import _speaks, requeue, settled
from findna_kit.runs.start import _begun
from findna_kit.trainer import Observer
from tests.building import small


def stating(devices, nodes=1):
    return small("self_distill", f"trainer.devices={devices}", f"trainer.nodes={nodes}")[0]


def test_a_launchers_numbers_take_the_recipes_place():
    recipe, remark = settled(stating(1), Launch(4, 2, 0, "srun"))
    assert (recipe.trainer.devices, recipe.trainer.nodes) == (2, 2)
    assert remark == "srun: 4 processes on 2 nodes share each batch"


@pytest.mark.parametrize(("devices", "nodes"), [(2, 2), (2, 1), (1, 2)])
def test_a_recipe_that_states_the_same_numbers_is_content(devices, nodes):
    trainer = settled(stating(devices, nodes), Launch(4, 2, 0, "srun"))[0].trainer
    assert (trainer.devices, trainer.nodes) == (2, 2)


@pytest.mark.parametrize(("devices", "nodes", "launch"), [
    (3, 1, Launch(2, 1, 0, "torchrun")),
    (2, 1, Launch(1, 1, 0, "torchrun")),
    (4, 1, Launch(4, 2, 0, "torchrun")),  # as many in all
    (1, 4, Launch(4, 2, 0, "torchrun")),
    (2, 4, Launch(4, 2, 0, "torchrun")),
])  # fmt: skip
def test_another_number_of_either_is_refused_by_one_voice(devices, nodes, launch):
    sentence = (
        f"torchrun started what is trainer.devices {launch.per_node} on trainer.nodes {launch.nodes}, the recipe states "
        f"{devices} on {nodes}: make them agree, or leave them out of the recipe"
    )
    for rank in range(launch.processes):
        with pytest.raises(FindnaError, match=f"^{sentence}$") as refused:
            settled(stating(devices, nodes), replace(launch, rank=rank))
        assert refused.value.silent is (rank > 0)


def test_torchrun_of_one_says_nothing_of_sharing():
    assert settled(stating(1), Launch(1, 1, 0, "torchrun"))[1] is None


def test_without_a_launcher_the_recipe_is_left_alone_and_more_than_one_is_refused():
    recipe = stating(1)
    assert settled(recipe, None) == (recipe, None)
    with pytest.raises(FindnaError, match="this is one process; start it by `findna-kit run`, torchrun or srun"):
        settled(stating(2), None)


def scontrol(folder, text):
    """A program of that name, found first."""
    folder.mkdir()
    (folder / "scontrol").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "scontrol").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "17"}


def test_a_job_is_queued_again(tmp_path, monkeypatch):
    for name, value in scontrol(tmp_path / "bin", f'echo "$@" > {tmp_path}/asked').items():
        monkeypatch.setenv(name, value)
    assert requeue() == "trainer.requeue: job 17 is queued again"
    assert (tmp_path / "asked").read_text() == "requeue 17\n"


def test_a_job_that_slurm_does_not_queue_again_is_said(tmp_path, monkeypatch):
    for name, value in scontrol(tmp_path / "bin", "echo 'Requested operation is disabled' >&2; exit 1").items():
        monkeypatch.setenv(name, value)
    assert requeue() == "trainer.requeue: job 17 could not be queued again: Requested operation is disabled"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "could not be queued again: [Errno 2]" in requeue()


def test_outside_of_slurm_nothing_is_queued(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert "this is no Slurm job" in requeue()


@pytest.mark.parametrize(("number", "queued"), [(signal.SIGUSR2, True), (signal.SIGTERM, False)])
def test_a_run_that_is_warned_by_usr2_saves_and_asks_for_its_job_again(number, queued, tmp_path, monkeypatch):
    """SIGTERM comes with scancel too, and with a preemption after which Slurm queues by itself."""
    for name, value in scontrol(tmp_path / "bin", f'echo "$@" > {tmp_path}/asked').items():
        monkeypatch.setenv(name, value)
    recipe, components, plugins = small("self_distill", "steps=50", "trainer.requeue=true")
    said = []

    def report(step, metrics):
        if step == 2:
            os.kill(os.getpid(), number)
            time.sleep(0.05)

    with pytest.raises(Interrupted) as stopped:
        start(
            recipe, RunLocation(tmp_path / "run"), components=components, plugins=plugins, device="cpu",
            observer=Observer(said.append, report=report),
        )  # fmt: skip
    assert stopped.value.exit_code == 128 + number
    assert stopped.value.silent is queued, "said before Slurm was asked, which ends the job at once"
    assert sum("is saved" in sentence for sentence in said) == queued
    assert (tmp_path / "asked").exists() is queued
    assert ("trainer.requeue: job 17 is queued again" in said) is queued


class Supervised:
    """The second of two processes."""

    rank = 1


def test_what_the_kits_own_processes_say_of_a_lost_one_is_left_to_their_supervisor(tmp_path, monkeypatch):
    monkeypatch.setenv(SUPERVISOR, str(tmp_path / "run"))
    assert not _speaks(Supervised(), "process 0 of 2 is gone", first_is_lost=True)
    assert (tmp_path / "run.lost").read_text() == "process 0 of 2 is gone"
    monkeypatch.delenv(SUPERVISOR)
    assert _speaks(Supervised(), "", first_is_lost=True)
    assert not _speaks(Supervised(), "", first_is_lost=False)


def refuse(*_):
    raise PluginError("reporter 'board' could not begin")


def test_a_reporter_that_cannot_begin_is_told_to_every_process(tmp_path):
    """Only the first has reporters: it must not be the only one that stops."""

    told_of = []

    class Told(Engine):
        def told(self, make):
            told_of.append(make)
            return super().told(make)

    engine, recipe = Told(torch.device("cpu"), "fp32"), stating(1)
    with pytest.raises(PluginError, match="could not begin"):
        _begun(Observer(), SimpleNamespace(begin=refuse), engine, tmp_path, recipe)
    assert len(told_of) == 1
    other = Observer()
    assert _begun(other, None, engine, tmp_path, recipe) is other

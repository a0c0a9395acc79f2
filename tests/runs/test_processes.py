"""Device counts of launcher and recipe, lost processes, and a Slurm job that is requeued."""

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
from findna_kit.runs.processes import _reports_loss, apply_launcher, requeue
from findna_kit.runs.start import start_reporters
from findna_kit.trainer import Observer
from tests.building import small


def stating(devices, nodes=1):
    return small("self_distill", f"trainer.devices={devices}", f"trainer.nodes={nodes}")[0]


def test_a_launchers_counts_replace_the_recipes():
    recipe, remark = apply_launcher(stating(1), Launch(4, 2, 0, "srun"))
    assert (recipe.trainer.devices, recipe.trainer.nodes) == (2, 2)
    assert remark == "srun: 4 processes on 2 nodes share each batch"


@pytest.mark.parametrize(("devices", "nodes"), [(2, 2), (2, 1), (1, 2)])
def test_a_recipe_that_states_the_same_counts_is_accepted(devices, nodes):
    trainer = apply_launcher(stating(devices, nodes), Launch(4, 2, 0, "srun"))[0].trainer
    assert (trainer.devices, trainer.nodes) == (2, 2)


@pytest.mark.parametrize(("devices", "nodes", "launch"), [
    (3, 1, Launch(2, 1, 0, "torchrun")),
    (2, 1, Launch(1, 1, 0, "torchrun")),
    (4, 1, Launch(4, 2, 0, "torchrun")),  # as many in all
    (1, 4, Launch(4, 2, 0, "torchrun")),
    (2, 4, Launch(4, 2, 0, "torchrun")),
])  # fmt: skip
def test_other_counts_are_refused_once(devices, nodes, launch):
    sentence = (
        f"torchrun started trainer.devices {launch.per_node} on trainer.nodes {launch.nodes}, but the recipe states "
        f"{devices} on {nodes}: make them equal, or leave them out of the recipe"
    )
    for rank in range(launch.world_size):
        with pytest.raises(FindnaError, match=f"^{sentence}$") as refused:
            apply_launcher(stating(devices, nodes), replace(launch, rank=rank))
        assert refused.value.silent is (rank > 0)


def test_torchrun_of_one_logs_nothing():
    assert apply_launcher(stating(1), Launch(1, 1, 0, "torchrun"))[1] is None


def test_without_a_launcher_more_than_one_process_is_refused():
    recipe = stating(1)
    assert apply_launcher(recipe, None) == (recipe, None)
    with pytest.raises(FindnaError, match="this is one process; start it by `findna-kit run`, torchrun or srun"):
        apply_launcher(stating(2), None)


def scontrol(folder, text):
    """A program of that name, found first."""
    folder.mkdir()
    (folder / "scontrol").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "scontrol").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "17"}


def test_a_job_is_requeued(tmp_path, monkeypatch):
    for name, value in scontrol(tmp_path / "bin", f'echo "$@" > {tmp_path}/asked').items():
        monkeypatch.setenv(name, value)
    assert requeue() == "trainer.requeue: job 17 is requeued"
    assert (tmp_path / "asked").read_text() == "requeue 17\n"


def test_a_job_that_slurm_does_not_requeue_is_reported(tmp_path, monkeypatch):
    for name, value in scontrol(tmp_path / "bin", "echo 'Requested operation is disabled' >&2; exit 1").items():
        monkeypatch.setenv(name, value)
    assert requeue() == "trainer.requeue: job 17 could not be requeued: Requested operation is disabled"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "could not be requeued: [Errno 2]" in requeue()


def test_outside_of_slurm_nothing_is_requeued(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert "not in a Slurm job" in requeue()


@pytest.mark.parametrize(("number", "queued"), [(signal.SIGUSR2, True), (signal.SIGTERM, False)])
def test_sigusr2_saves_the_run_and_requeues_its_job(number, queued, tmp_path, monkeypatch):
    """SIGTERM comes with scancel too, and with a preemption after which Slurm queues by itself."""
    for name, value in scontrol(tmp_path / "bin", f'echo "$@" > {tmp_path}/asked').items():
        monkeypatch.setenv(name, value)
    recipe, components, plugins = small("self_distill", "steps=50", "trainer.requeue=true")
    lines = []

    def report(step, metrics):
        if step == 2:
            os.kill(os.getpid(), number)
            time.sleep(0.05)

    with pytest.raises(Interrupted) as stopped:
        start(
            recipe, RunLocation(tmp_path / "run"), components=components, plugins=plugins, device="cpu",
            observer=Observer(lines.append, report=report),
        )  # fmt: skip
    assert stopped.value.exit_code == 128 + number
    assert stopped.value.silent is queued, "logged before the request, at which Slurm ends the job"
    assert sum("is saved" in sentence for sentence in lines) == queued
    assert (tmp_path / "asked").exists() is queued
    assert ("trainer.requeue: job 17 is requeued" in lines) is queued


class Supervised:
    """The second of two processes."""

    rank = 1


def test_under_the_supervisor_a_lost_process_is_reported_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv(SUPERVISOR, str(tmp_path / "run"))
    assert not _reports_loss(Supervised(), "process 0 of 2 is gone", main_is_lost=True)
    assert (tmp_path / "run.lost").read_text() == "process 0 of 2 is gone"
    monkeypatch.delenv(SUPERVISOR)
    assert _reports_loss(Supervised(), "", main_is_lost=True)
    assert not _reports_loss(Supervised(), "", main_is_lost=False)


def refuse(*_):
    raise PluginError("reporter 'board' could not start")


def test_a_reporter_that_cannot_start_stops_every_process(tmp_path):
    """Only the first has reporters: it must not be the only one that stops."""

    broadcasts = []

    class Recorded(Engine):
        def broadcast_object(self, make):
            broadcasts.append(make)
            return super().broadcast_object(make)

    engine, recipe = Recorded(torch.device("cpu"), "fp32"), stating(1)
    with pytest.raises(PluginError, match="could not start"):
        start_reporters(Observer(), SimpleNamespace(start=refuse), engine, tmp_path, recipe)
    assert len(broadcasts) == 1
    other = Observer()
    assert start_reporters(other, None, engine, tmp_path, recipe) is other

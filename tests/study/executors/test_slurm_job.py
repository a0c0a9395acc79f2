"""What runs inside a job, in processes of this machine: its beat, its word at the end, the signals that it passes on."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time

import pytest

from findna_kit.study.executors.slurm_job import CellJob, _threads
from findna_kit.study.job_lock import ENDED, HEARTBEAT, JobExit, JobLock, last_heartbeat
from tests.study.executors.test_local import until

SAVES = """
import signal, sys, time
def save(number, frame):
    time.sleep(0.3)
    print("saved", flush=True)
    sys.exit(128 + number)
for number in (signal.SIGTERM, signal.SIGUSR2):
    signal.signal(number, save)
print("begun", flush=True)
time.sleep(60)
"""
INSIDE = """
import signal, sys
from pathlib import Path
from findna_kit.study.executors.slurm_job import CellJob
job = CellJob(*{fields!r})
def take(number, frame):
    again = job.checkpoint()
    assert again.function == job and not hasattr(again.function, "_process")
    sys.exit(75)
signal.signal(signal.SIGUSR2, take)
job()
"""


def job(folder, code, name="mine"):
    JobLock("mine", "17").write(folder)
    return CellJob(str(folder), name, (sys.executable, "-c", code), str(folder / "log.txt"))


def test_it_says_how_the_run_ended_and_keeps_what_it_said(tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    job(tmp_path, "print('said'); raise SystemExit(3)")()
    assert (JobExit.read(tmp_path), (tmp_path / "log.txt").read_text()) == (JobExit(3), "said\n")
    assert last_heartbeat(tmp_path) is not None
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "a process that is forked later can be ended"


def test_of_several_processes_the_first_speaks(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "1")
    job(tmp_path, "raise SystemExit(3)")()
    assert not (tmp_path / ENDED).exists() and not (tmp_path / HEARTBEAT).exists()


def test_a_cell_that_another_job_has_is_left_alone(tmp_path, capsys):
    job(tmp_path, "print('said')", name="another")()
    assert "does not belong to this job (any more); the job ends" in capsys.readouterr().err
    assert not (tmp_path / "log.txt").exists()


def test_it_is_a_few_strings(tmp_path):
    """submitit pickles it: nothing of a run is in it."""
    one = job(tmp_path, "pass")
    assert pickle.loads(pickle.dumps(one)) == one
    assert all(type(word) is str for word in [one.folder, one.name, one.log, *one.command])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGUSR2, 75), (signal.SIGTERM, 0)])
def test_a_signal_lets_the_run_save(number, code, tmp_path):
    """SIGUSR2 as submitit takes it: the job ends, and is to be queued again. SIGTERM: the run's end is told."""
    one = job(tmp_path, SAVES)
    fields = (one.folder, one.name, one.command, one.log)
    inside = subprocess.Popen([sys.executable, "-c", INSIDE.format(fields=fields)], env=os.environ)
    log = tmp_path / "log.txt"
    until(lambda: log.exists() and "begun" in log.read_text())
    inside.send_signal(number)
    began = time.monotonic()
    assert inside.wait(timeout=60) == code
    assert log.read_text().splitlines() == ["begun", "saved"]
    if number == signal.SIGTERM:
        assert json.loads((tmp_path / ENDED).read_text()) == {"code": 143}
    else:
        assert time.monotonic() - began < 30
        assert not (tmp_path / ENDED).exists(), "it has not ended"


@pytest.mark.parametrize(("variables", "threads"), [
    ({"SLURM_CPUS_ON_NODE": "8", "SLURM_NTASKS_PER_NODE": "2"}, "4"), ({"SLURM_CPUS_ON_NODE": "8"}, "8"), ({}, "1"),
    ({"SLURM_CPUS_ON_NODE": "1", "SLURM_NTASKS_PER_NODE": "2"}, "1"),
])  # fmt: skip
def test_cores_are_shared_by_the_processes_of_a_node(variables, threads, monkeypatch):
    for name in ("SLURM_CPUS_ON_NODE", "SLURM_NTASKS_PER_NODE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert _threads() == threads

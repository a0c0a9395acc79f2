"""What is made of a job that is silent, forgotten, stuck or refused; tests/slurm has the real thing."""

import os
import time
from contextlib import suppress

import pytest

from findna_kit.errors import FindnaError
from findna_kit.study.executors import slurm
from findna_kit.study.executors.local import ExecutionOptions, LocalExecutor
from findna_kit.study.executors.slurm import SlurmExecutor
from findna_kit.study.executors.slurm_submission import submit, without_outer_job
from findna_kit.study.job_lock import HEARTBEAT, JOB, JobExit, JobLock
from tests.building import small
from tests.study.executors.test_local import aside, folders, until
from tests.study.programs import Programs
from tests.study.writing import CUT

PLACE = "cells/reference/seed-0"


@pytest.fixture
def programs(tmp_path, monkeypatch):
    for name in ("_POLL_SECONDS", "_SETTLE_SECONDS"):
        monkeypatch.setattr(slurm, name, 0.05)
    monkeypatch.setattr(slurm, "_QUERY_SECONDS", (0.05, 0.1))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return Programs(tmp_path / "bin", monkeypatch)


@pytest.fixture
def left(tmp_path, programs):
    """A cell with a job that an earlier call left."""
    (one, *_) = folders(tmp_path, seeds=1)
    one.prepare()
    JobLock("low-1", "17").write(one.folder)
    (one.folder / "job").mkdir()
    (one.folder / "job" / "17_submitted.pkl").touch()
    return one


def run(cells, log=lambda sentence: None, timeout=30):
    return SlurmExecutor({"time": 5}, log, timeout=timeout).run(cells, ExecutionOptions(device="cpu"), lambda: None)


def number(cell):
    claim = JobLock.read(cell.folder)
    return claim and claim.id


def after(programs, seconds, *lines):
    """Lets Slurm say something else a little later."""

    def change():
        time.sleep(seconds)
        programs.jobs(*lines)

    return aside(change)


def test_to_be_silent_for_a_while_is_no_death(left, programs):
    programs.jobs("17|RUNNING|None|low-1")
    executor = SlurmExecutor({"time": 5}, lambda sentence: None, timeout=0.3)
    programs.write("squeue", "exit 1")
    silent = []

    def speak():
        until(lambda: len(programs.calls("squeue")) > 8)
        silent.append((left.folder / JOB).exists())
        programs.jobs("17|CANCELLED|None|low-1")
        programs.write("squeue", f"echo '17|RUNNING|None|low-1'; mv {programs.folder}/squeue.then {programs.folder}/squeue")

    (programs.folder / "squeue.then").write_text(f"#!/bin/sh\ncat {programs.says}\n")
    (programs.folder / "squeue.then").chmod(0o755)
    thread = aside(speak)
    assert executor.run([left], ExecutionOptions(device="cpu"), lambda: None) == {PLACE: "scancel (job 17)"}
    thread.join()
    assert silent == [True]
    assert left.state() == "missing"


def test_a_job_that_slurm_has_forgotten_lives_as_long_as_it_beats(left, programs):
    """Slurm keeps what has ended for five minutes; a call may come much later."""
    executor = SlurmExecutor({"time": 5}, lambda sentence: None, timeout=1.0)
    programs.write("sbatch", "exit 1")
    seen = []

    def beat():
        for number in range(15):
            (left.folder / HEARTBEAT).touch()
            os.utime(left.folder / HEARTBEAT, ns=(number, number))
            time.sleep(0.2)
        seen.append((left.folder / JOB).exists())

    thread = aside(beat)
    with pytest.raises(FindnaError, match="Slurm refuses the job"):  # and so it was to be begun again
        executor.run([left], ExecutionOptions(device="cpu"), lambda: None)
    thread.join()
    assert seen == [True]


@pytest.mark.parametrize(("lines", "code", "found"), [
    (["17|FAILED|NonZeroExitCode|low-1"], None, "the end of its job (FAILED, exit code 1) before the run had ended (job 17)"),
    (["17|TIMEOUT|TimeLimit|low-1"], None, "its time limit (job 17)"),
    (["17|CANCELLED|None|low-1"], 143, "scancel (job 17)"),
    (["17|COMPLETED|None|low-1"], 143, "SIGTERM (job 17)"),
    (["17|COMPLETED|None|low-1"], -9, "SIGKILL (job 17)"),
    ([], 143, "SIGTERM (job 17)"),
    ([], None, "the end of its job, which Slurm no longer knows (job 17)"),
])  # fmt: skip
def test_what_ended_a_cell_from_outside(lines, code, found, left, programs):
    programs.jobs("17|RUNNING|None|low-1")
    (left.folder / HEARTBEAT).touch()

    def end():
        until(lambda: len(programs.calls("squeue")) > 3)
        if code is not None:
            JobExit(code).write(left.folder)
        programs.jobs(*lines)

    thread = aside(end)
    assert run([left], timeout=0.3) == {PLACE: found}
    thread.join()
    assert left.state() == "missing"
    assert not (left.folder / JOB).exists()


@pytest.mark.parametrize(("state", "code"), [("PREEMPTED", None), ("PREEMPTED", 143), ("COMPLETED", 143), ("COMPLETED", 3)])
def test_one_that_is_preempted_is_submitted_again_and_never_failed(state, code, left, programs):
    """A run of several processes may even fail of it: of the two, one may be gone before the other hears."""
    programs.jobs(f"17|{state}|None|low-1")
    programs.write("scontrol", "exit 1")
    programs.write("sbatch", "echo Submitted batch job 18")
    (left.folder / "log.txt").write_text("process 1 of 2 is gone\n")
    if code is not None:
        JobExit(code).write(left.folder)
    said = []

    def end():
        if state == "COMPLETED":
            until(lambda: len(programs.calls("scontrol")) > 1)  # nothing is concluded of no answer
            assert number(left) == "17"
            programs.write("scontrol", "echo JobId=17 PreemptTime=2026-11-26T06:08:51 ExitCode=0:0")
        until(lambda: number(left) == "18")
        programs.jobs(f"18|CANCELLED|None|{JobLock.read(left.folder).name}")

    thread = aside(end)
    assert run([left], said.append) == {PLACE: "scancel (job 18)"}
    thread.join()
    assert said == [f"{PLACE}: was preempted (job 17), and is submitted again"]
    assert left.state() == "missing"


def test_one_that_slurm_has_queued_again_is_shown_to_wait(left, programs):
    """It was ended by force, and its last beat is there yet."""
    (left.folder / HEARTBEAT).touch()
    programs.jobs("17|RUNNING|None|low-1")
    states = []

    def requeue():
        until(lambda: states == ["running"])
        programs.jobs("17|PENDING|BeginTime|low-1")
        with suppress(AssertionError):  # of what was shown instead the test speaks
            until(lambda: states[-1] == "queued", 10)
        programs.jobs("17|CANCELLED|None|low-1")

    thread = aside(requeue)
    SlurmExecutor({"time": 5}, lambda sentence: None).run(
        [left], ExecutionOptions(device="cpu"), lambda: states.append(left.state())
    )
    thread.join()
    assert states == ["running", "queued", "missing"]


def test_a_cell_that_failed_by_itself_is_kept_with_its_reason(left, programs):
    (left.folder / "log.txt").write_text("before\nlosses.masked is nan\n")
    JobExit(3).write(left.folder)
    programs.jobs("17|COMPLETED|None|low-1")
    assert run([left]) == {}
    assert (left.state(), left.failure_reason()) == ("failed", "exit code 3: losses.masked is nan")


def test_what_a_job_waits_for_is_said_once(left, programs):
    said = []
    programs.jobs("17|PENDING|AssocGrpCPULimit|low-1")
    thread = after(programs, 1.0, "17|CANCELLED|None|low-1")
    run([left], said.append)
    thread.join()
    assert said == [f"{PLACE}: job 17 is pending: AssocGrpCPULimit"]


def test_a_job_that_runs_in_silence_is_said_once_and_left_alone(left, programs):
    said = []
    (left.folder / HEARTBEAT).touch()
    programs.jobs("17|RUNNING|None|low-1")
    thread = after(programs, 3.0, "17|CANCELLED|None|low-1")
    run([left], said.append, timeout=1)
    thread.join()
    assert said == [
        f"{PLACE}: job 17 is running, but has sent no heartbeat for 1 s; it is left alone, `scancel 17` would end it"
    ]


def test_a_call_that_was_killed_while_it_submitted_leaves_nothing_twice(left, programs):
    """Its claim has a name and no number: the job is looked for by that name."""
    JobLock("low-1").write(left.folder)
    programs.jobs("17|RUNNING|None|low-1")
    thread = after(programs, 1.0, "17|CANCELLED|None|low-1")
    assert run([left]) == {PLACE: "scancel (job 17)"}
    thread.join()
    assert programs.calls("sbatch") == []


@pytest.mark.parametrize("papers", [True, False])
def test_a_job_that_never_was_or_has_nothing_to_do_is_submitted_anew(papers, left, programs):
    """Killed before sbatch, or between sbatch and what submitit writes for the job."""
    if papers:
        JobLock("low-1").write(left.folder)
    else:
        (left.folder / "job" / "17_submitted.pkl").unlink()
        programs.jobs("17|PENDING|None|low-1")
    claims = []

    def end():
        until(lambda: programs.calls("sbatch"))
        until(lambda: number(left))
        claims.append(JobLock.read(left.folder))
        programs.jobs(f"17|CANCELLED|None|{claims[0].name}")

    thread = aside(end)
    assert run([left]) == {PLACE: "scancel (job 17)"}
    thread.join()
    assert claims[0].name.startswith("reference-seed-0-") and claims[0].id == "17"
    assert len(programs.calls("scancel")) == (not papers)


def test_one_that_sbatch_could_not_send_is_sent_later(left, programs):
    """The controller is away for a moment, and so squeue does not answer either."""
    (left.folder / JOB).unlink()
    executor = SlurmExecutor({"time": 5}, lambda sentence: None, timeout=30)
    programs.write("squeue", "exit 1")
    programs.write("sbatch", "exit 1")

    def come_back():
        until(lambda: len(programs.calls("squeue")) > 1)
        programs.write("sbatch", "echo Submitted batch job 18")
        programs.write("squeue", f"cat {programs.says}")
        until(lambda: number(left) == "18")
        programs.jobs(f"18|CANCELLED|None|{JobLock.read(left.folder).name}")

    thread = aside(come_back)
    assert executor.run([left], ExecutionOptions(device="cpu"), lambda: None) == {PLACE: "scancel (job 18)"}
    thread.join()


def test_that_the_controller_is_away_is_no_refusal_whoever_answers_next(left, programs):
    (left.folder / JOB).unlink()
    programs.write(
        "sbatch", "echo 'sbatch: error: Batch job submission failed: Unable to contact slurm controller' >&2; exit 1"
    )

    def come_back():
        until(lambda: len(programs.calls("sbatch")) > 1)
        programs.write("sbatch", "echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1")

    thread = aside(come_back)
    with pytest.raises(FindnaError, match=f"{PLACE}: Slurm refuses the job: error: invalid partition specified: gpu"):
        run([left])
    thread.join()
    assert left.state() == "missing"


def test_what_is_asked_for(tmp_path, programs):
    (one, *_) = folders(tmp_path, seeds=1, overrides=CUT[:-1] + ", trainer.devices: 2, trainer.nodes: 2}")
    settings = {"time": 90, "partition": "gpu", "cpus_per_task": 4, "gpus_per_node": "2", "setup": ["module load cuda"]}
    assert submit(one, "mine", ExecutionOptions(device="cpu"), settings) == "17"
    script = (one.folder / "job" / "17_submission.sh").read_text()
    for line in (
        "--job-name=mine", "--nodes=2", "--ntasks-per-node=2", "--time=90", "--partition=gpu", "--cpus-per-task=4",
        "--gpus-per-node=2", "--signal=USR2@90",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in script
    assert "module load cuda\n" in script
    assert "--cpus-per-task=4 " in script.splitlines()[-1] and script.splitlines()[-1].startswith("srun ")


def test_from_inside_of_a_job_only_where_slurm_is_stays(monkeypatch):
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    monkeypatch.setenv("SBATCH_ACCOUNT", "mine")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with without_outer_job():
        assert os.environ["SBATCH_ACCOUNT"] == "mine"
    monkeypatch.setenv("SLURM_JOB_ID", "3")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    with without_outer_job():
        assert os.environ["SLURM_CONF"] == "/etc/slurm.conf"
        assert not {"SLURM_JOB_ID", "SLURM_NTASKS"} & os.environ.keys()
    assert os.environ["SLURM_NTASKS"] == "4"


def test_a_cell_that_a_job_has_is_not_run_here(left):
    with pytest.raises(FindnaError, match=f"{PLACE}: belongs to Slurm job 17; continue with --executor slurm"):
        LocalExecutor().run([left], ExecutionOptions(device="cpu"), lambda: None)
    assert left.state() == "queued"
    (left.folder / HEARTBEAT).touch()
    assert left.state() == "running"


def test_processes_that_the_batch_does_not_divide_into_are_refused(programs):
    recipe = small("masked_only", "trainer.devices=3", "trainer.nodes=2", "data.batch_size=8")[0]
    with pytest.raises(
        FindnaError, match=r"data.batch_size 8 cannot be divided evenly among trainer.devices 3 on trainer.nodes 2"
    ):
        SlurmExecutor({}, lambda sentence: None).check_recipe(recipe)
    SlurmExecutor({}, lambda sentence: None).check_recipe(small("masked_only", "trainer.devices=2", "trainer.nodes=2")[0])
    with pytest.raises(FindnaError, match=r"trainer.nodes 2: cells are run on this machine alone; leave nodes out, or take"):
        LocalExecutor().check_recipe(small("masked_only", "trainer.nodes=2")[0])

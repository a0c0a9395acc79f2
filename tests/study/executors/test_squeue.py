"""What Slurm's answers come to, and silence."""

import pytest

from findna_kit.errors import FindnaError
from findna_kit.study.executors.squeue import (
    JobStatus,
    SlurmUnavailable,
    check_available,
    describe_exit,
    query_jobs,
    was_preempted,
)
from tests.study.programs import Programs


@pytest.fixture
def programs(tmp_path, monkeypatch):
    return Programs(tmp_path / "bin", monkeypatch)


def test_jobs_are_asked_for_by_name_all_at_once(programs):
    programs.jobs("17|RUNNING|None|low-1", "18|PENDING|QOSMaxCpuPerUserLimit|high|2")
    found = query_jobs(["low-1", "high|2"])
    assert found == {"low-1": JobStatus("17", "RUNNING", "None"), "high|2": JobStatus("18", "PENDING", "QOSMaxCpuPerUserLimit")}
    (asked,) = programs.calls("squeue")
    assert "--states=all --name=low-1,high|2,findna-kit " in asked
    assert (found["low-1"].over, found["low-1"].stuck_reason, found["high|2"].stuck_reason) == (
        False,
        None,
        "QOSMaxCpuPerUserLimit",
    )


@pytest.mark.parametrize(
    ("state", "over"), [("PENDING", False), ("COMPLETING", False), ("CANCELLED", True), ("NODE_FAIL", True)]
)
def test_what_is_over(state, over):
    assert JobStatus("17", state, "Priority").over is over
    assert JobStatus("17", state, "Priority").stuck_reason is None


def test_silence_is_no_answer(programs, monkeypatch, tmp_path):
    programs.write("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(SlurmUnavailable, match="Unable to contact slurm controller"):
        query_jobs(["low-1"])
    with pytest.raises(
        FindnaError, match=r"no Slurm answers here \(slurm_load_jobs error: Unable .*\); leave the option out to run"
    ):
        check_available()
    programs.write("squeue", "exit 3")
    with pytest.raises(SlurmUnavailable, match="squeue ended with exit code 3"):
        query_jobs(["low-1"])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FindnaError, match=r"--executor slurm: no Slurm answers here \(there is no squeue\)"):
        check_available()


@pytest.mark.parametrize(("said", "means"), [
    ("ExitCode=137:0", "SIGKILL"), ("ExitCode=0:9", "SIGKILL"), ("ExitCode=0:15", "SIGTERM"),
    ("ExitCode=1:0", "the end of its job (FAILED, exit code 1) before the run had ended"),
    ("ExitCode=128:0", "the end of its job (FAILED, exit code 128) before the run had ended"),
])  # fmt: skip
def test_how_a_job_ended(said, means, programs):
    programs.write("scontrol", f"echo JobId=17 {said} DerivedExitCode=0:0")
    assert describe_exit(JobStatus("17", "FAILED", "NonZeroExitCode")) == means


@pytest.mark.parametrize(("state", "time", "means"), [
    ("PREEMPTED", "None", True), ("COMPLETED", "2026-11-26T06:08:51", True), ("FAILED", "2026-11-26T06:08:51", True),
    ("COMPLETED", "None", False), ("CANCELLED", "2026-11-26T06:08:51", False),
])  # fmt: skip
def test_who_had_to_make_room(state, time, means, programs):
    """As a real Slurm says it; one that was cancelled as well is not wanted any more."""
    programs.write("scontrol", f"echo JobId=17 PreemptEligibleTime=2026-11-26T06:08:48 PreemptTime={time} TimeLimit=00:10:00")
    assert was_preempted(JobStatus("17", state, "None")) is means

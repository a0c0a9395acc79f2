"""A cell's files about its Slurm job."""

import subprocess
import sys

from findna_kit.study.job_lock import ENDED, HEARTBEAT, JOB, JobExit, JobLock, last_heartbeat, remove_job_files


def test_a_claim_is_read_as_it_was_written_and_dropped_with_all_that_the_job_said(tmp_path):
    assert (JobLock.read(tmp_path), last_heartbeat(tmp_path), JobExit.read(tmp_path)) == (None, None, None)
    JobLock("low-1").write(tmp_path)
    assert JobLock.read(tmp_path) == JobLock("low-1", None)
    JobLock("low-1", "17").write(tmp_path)
    (tmp_path / HEARTBEAT).touch()
    JobExit(143).write(tmp_path)
    assert (JobLock.read(tmp_path), JobExit.read(tmp_path)) == (JobLock("low-1", "17"), JobExit(143))
    assert last_heartbeat(tmp_path) == (tmp_path / HEARTBEAT).stat().st_mtime_ns
    assert {path.name for path in tmp_path.iterdir()} == {JOB, HEARTBEAT, ENDED}
    remove_job_files(tmp_path)
    remove_job_files(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_job_imports_is_little():
    """Every process of every job does."""
    code = "import sys, findna_kit.study.executors.slurm_job; print('torch' in sys.modules, 'numpy' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False False\n"

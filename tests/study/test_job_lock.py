"""A cell's word on its Slurm job."""

import subprocess
import sys

from findna_kit.study.job_lock import BEAT, ENDED, JOB, JobLock, drop, last_beat, read_end, write_end


def test_a_claim_is_read_as_it_was_written_and_dropped_with_all_that_the_job_said(tmp_path):
    assert (JobLock.read(tmp_path), last_beat(tmp_path), read_end(tmp_path)) == (None, None, None)
    JobLock("low-1").write(tmp_path)
    assert JobLock.read(tmp_path) == JobLock("low-1", None)
    JobLock("low-1", "17").write(tmp_path)
    (tmp_path / BEAT).touch()
    write_end(tmp_path, 143)
    assert (JobLock.read(tmp_path), read_end(tmp_path)) == (JobLock("low-1", "17"), 143)
    assert last_beat(tmp_path) == (tmp_path / BEAT).stat().st_mtime_ns
    assert {path.name for path in tmp_path.iterdir()} == {JOB, BEAT, ENDED}
    drop(tmp_path)
    drop(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_job_imports_is_little():
    """Every process of every job does."""
    code = "import sys, findna_kit.study.executors.slurm_job; print('torch' in sys.modules, 'numpy' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False False\n"

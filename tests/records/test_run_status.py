"""Whether a process has a run's folder, told without touching it."""

import subprocess
import sys

import pytest
from filelock import FileLock

from findna_kit.records.run_status import current_status, is_locked


def test_a_lock_is_held_as_long_as_somebody_has_it(tmp_path):
    path = tmp_path / ".lock"
    assert not is_locked(path)
    assert not path.exists(), "to look leaves nothing behind"
    with FileLock(path):
        assert is_locked(path)
    path.touch()
    assert not is_locked(path)


def test_what_a_killed_process_held_is_free(tmp_path):
    code = f"import sys, time\nfrom filelock import FileLock\nlock = FileLock({str(tmp_path / '.lock')!r})\nlock.acquire()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", code + "print('held', flush=True)\ntime.sleep(60)"], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    assert is_locked(tmp_path / ".lock")
    process.kill()
    process.communicate()
    assert not is_locked(tmp_path / ".lock")


@pytest.mark.parametrize(("told", "free", "taken"), [
    (None, None, None), ("finished", "finished", "finished"), ("running", "killed", "running"),
    ("interrupted", "interrupted", "running"), ("failed", "failed", "running"),
])  # fmt: skip
def test_whoever_holds_a_run_runs_it_whatever_was_told_before(told, free, taken, tmp_path):
    assert current_status(tmp_path, told) == free
    with FileLock(tmp_path / ".lock"):
        assert current_status(tmp_path, told) == taken

"""The Slurm job of a cell: it runs the cell's command, sends heartbeats, records the exit code and can be requeued.

submitit pickles a `CellJob` into the cell's folder, and the job on its node unpickles it. It holds a few strings only; nothing
that a run or a job writes is ever unpickled.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit.study.job_lock import ENDED, HEARTBEAT, JobExit, JobLock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from submitit.helpers import DelayedSubmission

HEARTBEAT_SECONDS = 10.0
"""Seconds between heartbeats."""
_POLL_SECONDS = 0.2
_SIGNAL_GRACE_SECONDS = 5.0
"""Seconds to wait after the run has stopped on a signal: this process may receive the same signal a little later."""
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR2)


@dataclass
class CellJob:
    """A callable that runs a cell's command in each process of a job. The first process writes the job's files.

    folder: of the cell, absolute. name: of the job, as in job.json. command: the words of the command line. log: file for its
    output.
    """

    folder: str
    name: str
    command: tuple[str, ...]
    log: str

    def __call__(self) -> None:
        """Run the command. submitit calls this after it has installed its own signal handlers."""
        lock = JobLock.read(Path(self.folder))
        if lock is None or lock.name != self.name:
            print(f"{self.folder}: does not belong to this job (any more); the job ends", file=sys.stderr)
            return
        is_first = os.environ.get("SLURM_PROCID", "0") == "0"
        if is_first:
            # A requeued job starts again: the exit code of its earlier start must not count as its end.
            (Path(self.folder) / ENDED).unlink(missing_ok=True)
        with Path(self.log).open("ab") as log, self._heartbeats(is_first):
            # The environment comes last: a number of threads that the user has set wins over the share of the cores.
            environment = {"OMP_NUM_THREADS": _threads(), **os.environ}
            self._process = subprocess.Popen(  # noqa: S603 - this very program
                self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment
            )
            # submitit ignores SIGTERM, which would leave the run unaware that its job is about to end.
            before = signal.signal(signal.SIGTERM, lambda number, _: self._forward(number))
            while (code := self._process.poll()) is None:
                time.sleep(_POLL_SECONDS)
            signal.signal(signal.SIGTERM, before)
            if code in [stopped for number in _STOP_SIGNALS for stopped in (-number, 128 + number)]:
                time.sleep(_SIGNAL_GRACE_SECONDS)
        if is_first:
            JobExit(code).write(Path(self.folder))

    def checkpoint(self) -> DelayedSubmission:
        """Return what to requeue, once the run has saved and ended. submitit calls this on SIGUSR2 in the first process."""
        from submitit.helpers import DelayedSubmission  # an optional library

        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm may send it twice
        self._forward(signal.SIGUSR2)
        if hasattr(self, "_process"):
            # Not Popen.wait: this runs in a signal handler, which may have interrupted poll() while that holds a lock.
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            self._stop_heartbeats.set()
            # A cell whose job has no heartbeat counts as queued, which it now is again.
            (Path(self.folder) / HEARTBEAT).unlink(missing_ok=True)
        # A copy has the fields alone: the process and the event of this start cannot be pickled.
        return DelayedSubmission(replace(self))

    def _forward(self, number: int) -> None:
        """Forward a signal to the run. Whether Slurm sends it to every process of a job depends on its configuration."""
        if hasattr(self, "_process"):
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    @contextmanager
    def _heartbeats(self, is_first: bool) -> Iterator[None]:
        """Touch the heartbeat file at intervals, from a thread of the first process."""
        self._stop_heartbeats = threading.Event()

        def beat() -> None:
            while not self._stop_heartbeats.is_set():
                (Path(self.folder) / HEARTBEAT).touch()
                self._stop_heartbeats.wait(HEARTBEAT_SECONDS)

        thread = threading.Thread(target=beat, name="findna-kit heartbeat", daemon=True)
        if is_first:
            thread.start()
        try:
            yield
        finally:
            self._stop_heartbeats.set()


def _threads() -> str:
    """Return each process's share of the cores that the job has on this node."""
    cores, processes = (int(os.environ.get(f"SLURM_{name}", 1)) for name in ("CPUS_ON_NODE", "NTASKS_PER_NODE"))
    return str(max(1, cores // processes))

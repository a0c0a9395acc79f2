"""What the Slurm job of a cell does, on whatever node: it runs the cell, beats, says how it ended, and is queued again.

submitit writes an object of this class into the cell's folder by pickle, and the job reads it. It is a few strings; what a run
leaves is not in it, and nothing that a job leaves is read by pickle.
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
from typing import TYPE_CHECKING, Any

from findna_kit.study.job_lock import BEAT, ENDED, JobLock, write_end

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERY = 10.0
"""Seconds between beats."""
_LOOK, _LINGER = 0.2, 5.0
"""Seconds: a run that a signal stopped may be seen to end before the signal has reached this process, too."""
_ASKED = (signal.SIGTERM, signal.SIGUSR2)


@dataclass
class CellJob:
    """Runs a cell's command in each of a job's processes; the first of them speaks for the job.

    folder: the cell's, absolute; name: the job's, as in the cell's claim; words: the command; log: takes what it says.
    """

    folder: str
    name: str
    words: tuple[str, ...]
    log: str

    def __call__(self) -> None:
        """Called by submitit, which has taken the signals; SIGTERM it would swallow."""
        claim = JobLock.read(Path(self.folder))
        if claim is None or claim.name != self.name:
            print(f"{self.folder}: is not this job's (any more); nothing is done", file=sys.stderr)
            return
        first = os.environ.get("SLURM_PROCID", "0") == "0"
        if first:
            (Path(self.folder) / ENDED).unlink(missing_ok=True)
        with Path(self.log).open("ab") as log, self._beating(first):
            self._process = subprocess.Popen(  # noqa: S603 - this very program
                self.words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={"OMP_NUM_THREADS": _threads(), **os.environ}
            )
            before = signal.signal(signal.SIGTERM, lambda number, _: self._tell(number))
            while (code := self._process.poll()) is None:
                time.sleep(_LOOK)
            signal.signal(signal.SIGTERM, before)
            if code in [word for number in _ASKED for word in (-number, 128 + number)]:
                time.sleep(_LINGER)
        if first:
            write_end(Path(self.folder), code)

    def checkpoint(self) -> Any:
        """Called by submitit on SIGUSR2 in the first process: the run saves and ends; what is given back is queued again."""
        from submitit.helpers import DelayedSubmission

        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # it has come, and may come twice
        self._tell(signal.SIGUSR2)
        if hasattr(self, "_process"):
            # Not Popen.wait: this is a signal's handler, and may have interrupted poll, which holds a lock.
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            self._ending.set()
            (Path(self.folder) / BEAT).unlink(missing_ok=True)
        return DelayedSubmission(replace(self))

    def _tell(self, number: int) -> None:
        """Passes a signal on: whether Slurm gives it to every process of a job depends on its configuration."""
        if hasattr(self, "_process"):
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    @contextmanager
    def _beating(self, first: bool) -> Iterator[None]:
        """Inside, the first process says again and again that it lives."""
        self._ending = threading.Event()

        def beat() -> None:
            while not self._ending.is_set():
                (Path(self.folder) / BEAT).touch()
                self._ending.wait(EVERY)

        thread = threading.Thread(target=beat, name="findna-kit heartbeat", daemon=True)
        if first:
            thread.start()
        try:
            yield
        finally:
            self._ending.set()


def _threads() -> str:
    """A process's share of the cores that the job has on this node."""
    cores, processes = (int(os.environ.get(f"SLURM_{name}", 1)) for name in ("CPUS_ON_NODE", "NTASKS_PER_NODE"))
    return str(max(1, cores // processes))

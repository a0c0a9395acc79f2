"""The supervisor: starts the processes of one run on this machine, and ends all of them if one fails."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit.distributed.launcher import LOST, SUPERVISOR
from findna_kit.errors import ProcessLost

if TYPE_CHECKING:
    from collections.abc import Sequence

_GRACE, _POLL = 20.0, 0.1
"""After a failure, seconds until the other processes get SIGTERM, and as many again until SIGKILL; seconds between checks."""
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)


def supervise(arguments: Sequence[str], world_size: int) -> int:
    """Run `findna-kit ARGUMENTS` in `world_size` processes, and return the exit code of rank 0 or of the first that failed.

    Signals are forwarded to all of them. Raises ProcessLost, when all have ended, if one was killed or hung.
    """
    with tempfile.TemporaryDirectory() as directory:
        run_file = Path(directory) / "run"
        children = _start(arguments, world_size, run_file)
        handlers = {number: signal.signal(number, lambda got, _: _send(children, got)) for number in _FORWARDED}
        try:
            failed = _wait(children)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        run, lost = (path.read_text() if path.exists() else "" for path in (run_file, run_file.with_suffix(LOST)))
    if failed is not None and (code := children[failed].returncode) < 0:
        raise ProcessLost(_killed_message(failed, world_size, signal.Signals(-code).name, run))
    if failed is not None and lost:
        raise ProcessLost(lost)
    return children[failed or 0].returncode


def _start(arguments: Sequence[str], world_size: int, run_file: Path) -> list[subprocess.Popen[bytes]]:
    """Start the processes with the environment variables that torchrun would set."""
    # The system chooses a free port, which is closed again at once: rank 0 will listen on it.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "findna_kit", *arguments]
    return [
        subprocess.Popen(  # noqa: S603 - this very program
            command,
            env={
                **os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world_size), "RANK": str(rank),
                "LOCAL_WORLD_SIZE": str(world_size), "LOCAL_RANK": str(rank), "NODE_RANK": "0", SUPERVISOR: str(run_file),
            },
            start_new_session=True,  # the terminal's Ctrl-C reaches them once, forwarded by this process
        )
        for rank in range(world_size)
    ]  # fmt: skip


def _send(children: Sequence[subprocess.Popen[bytes]], number: int) -> None:
    """Send a signal to every process that is alive."""
    for child in children:
        if child.poll() is None:
            child.send_signal(number)


def _wait(children: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """Wait for all processes, and return the rank of the one whose failure ended the others, or None.

    After a failure the others have time to end by themselves; then they get SIGTERM, and at last SIGKILL.
    """
    failed: int | None = None
    failed_at, terminated = 0.0, False
    while None in [child.poll() for child in children]:  # the list polls every process, where `any` would stop early
        failures = [rank for rank, child in enumerate(children) if child.returncode not in (None, 0)]
        if failed is None and failures:
            failed_at = time.monotonic()
        if failures and not terminated:  # the others may be seen to end before the killed one that they react to
            failed = _killed_first(failures, children)
        waited = time.monotonic() - failed_at if failed is not None else 0.0
        if waited > 2 * _GRACE:
            _send(children, signal.SIGKILL)
        elif waited > _GRACE and not terminated:
            _send(children, signal.SIGTERM)
            terminated = True
        time.sleep(_POLL)
    if terminated:  # return codes from here on are of this function's own signals
        return failed
    failures = [rank for rank, child in enumerate(children) if child.returncode]
    return _killed_first(failures, children) if failures else None


def _killed_first(failures: Sequence[int], children: Sequence[subprocess.Popen[bytes]]) -> int:
    """Return the lowest rank that was killed by a signal, or else the lowest rank."""
    # Popen reports death by a signal as a negative code, and False sorts before True.
    return min(failures, key=lambda rank: children[rank].returncode > 0)


def _killed_message(rank: int, world_size: int, signal_name: str, run: str) -> str:
    resume = f"; its last checkpoint is complete: continue with --resume {run}" if run else ""
    return f"process {rank} of {world_size} was killed by {signal_name}, and the run has stopped{resume}"

"""Starting several processes of one run on this machine, and ending them all where one ends badly."""

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

_GRACE, _LOOK = 20.0, 0.1
"""Seconds that the others have to end by themselves, twice: before they are asked to, and before they are made to."""
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)


def supervise(arguments: Sequence[str], processes: int) -> int:
    """Runs `findna-kit ARGUMENTS` in that many processes; the exit code of the first.

    Signals are passed on. Raises ProcessLost where one was killed, or hung, when the others have ended.
    """
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "run"
        children = _started(arguments, processes, told)
        before = {number: signal.signal(number, lambda got, _: _pass_on(children, got)) for number in _FORWARDED}
        try:
            failed = _wait(children)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        where, lost = (path.read_text() if path.exists() else "" for path in (told, told.with_suffix(LOST)))
    if failed is not None and (code := children[failed].returncode) < 0:
        raise ProcessLost(_sentence(failed, processes, signal.Signals(-code).name, where))
    if failed is not None and lost:
        raise ProcessLost(lost)
    return children[failed or 0].returncode


def _started(arguments: Sequence[str], processes: int, told: Path) -> list[subprocess.Popen[bytes]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "findna_kit", *arguments]
    return [
        subprocess.Popen(  # noqa: S603 - this very program
            command,
            env={
                **os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(processes), "RANK": str(rank),
                "LOCAL_WORLD_SIZE": str(processes), "LOCAL_RANK": str(rank), "NODE_RANK": "0", SUPERVISOR: str(told),
            },
            start_new_session=True,  # a Ctrl-C comes once, by way of this process
        )
        for rank in range(processes)
    ]  # fmt: skip


def _pass_on(children: Sequence[subprocess.Popen[bytes]], number: int) -> None:
    for child in children:
        if child.poll() is None:
            child.send_signal(number)


def _wait(children: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """Waits for all; the first that ended badly, if any: then the others are given time, asked, and made to end."""
    failed: int | None = None
    since, asked = 0.0, False
    while None in [child.poll() for child in children]:  # every one is asked, each time
        bad = [rank for rank, child in enumerate(children) if child.returncode not in (None, 0)]
        if failed is None and bad:
            since = time.monotonic()
        if bad and not asked:  # the others end because one was killed, and may be seen to before it is
            failed = min(bad, key=lambda rank: children[rank].returncode > 0)
        waited = time.monotonic() - since if failed is not None else 0.0
        if waited > 2 * _GRACE:
            _pass_on(children, signal.SIGKILL)
        elif waited > _GRACE and not asked:
            _pass_on(children, signal.SIGTERM)
            asked = True
        time.sleep(_LOOK)
    ended = [rank for rank, child in enumerate(children) if child.returncode]
    return failed if asked else min(ended, key=lambda rank: children[rank].returncode > 0, default=None)


def _sentence(rank: int, processes: int, name: str, folder: str) -> str:
    resuming = f"; its last checkpoint is whole: go on with --resume {folder}" if folder else ""
    return f"process {rank} of {processes} was ended by {name}, and the run with it{resuming}"

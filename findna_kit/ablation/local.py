"""Cells on this machine: each a process of its own, so many at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from findna_kit.ablation.cells import LOG, RECIPE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from findna_kit.ablation.cells import CellFolder

_LOOK = 0.2
_STOPPED = (130, 143, 128 + signal.SIGUSR2)
"""Exit codes of a run that was asked to stop, and has saved: it is missing, not failed."""


def run_here(
    folders: Sequence[CellFolder], jobs: int, changed: Callable[[], None], *, device: str, without: Sequence[str]
) -> None:  # fmt: skip
    """Runs the cells, `jobs` at a time; one that fails is kept with its reason, and the others go on.

    A cell that another process is running (an earlier call's, which was killed) is waited for. KeyboardInterrupt stops all,
    when they have saved.
    """
    waiting = list(folders)
    running: dict[subprocess.Popen[bytes], CellFolder] = {}
    threads = max(1, (os.cpu_count() or 1) // jobs)
    try:
        while waiting or running:
            for one in [one for one in waiting if one.state() != "running"][: jobs - len(running)]:
                waiting.remove(one)
                if one.state() != "finished":
                    running[_started(one, device, without, threads)] = one
                changed()
            for process in [process for process in running if process.poll() is not None]:
                _judge(running.pop(process), process.returncode)
                changed()
            time.sleep(_LOOK)
    except BaseException:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait()
        raise


def command(one: CellFolder, device: str, without: Sequence[str]) -> list[str]:
    """What runs a cell, from wherever it stands."""
    left_out = [word for name in without for word in ("--without", name)]
    recipe, run = str(one.folder / RECIPE), str(one.run)
    return [sys.executable, "-m", "findna_kit", "run", recipe, "--resume", run, "--device", device, *left_out]


def _started(one: CellFolder, device: str, without: Sequence[str], threads: int) -> subprocess.Popen[bytes]:
    one.prepare()
    with (one.folder / LOG).open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - this very program
            command(one, device, without), stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            env={"OMP_NUM_THREADS": str(threads), **os.environ},  # busy threads beside each other slow all of them
        )  # fmt: skip


def _judge(one: CellFolder, code: int) -> None:
    """Keeps why a cell failed; one that was stopped, or killed, is only missing."""
    if code > 0 and code not in _STOPPED and one.state() != "finished":
        last = (one.folder / LOG).read_text(errors="replace").strip().splitlines() or ["nothing was said"]
        one.fail(f"exit code {code}: {last[-1]}")

"""A heartbeat between the processes of a run: one that is gone, or hangs, ends the others within a minute."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from torch.distributed import TCPStore  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from collections.abc import Callable

    from findna_kit.engine.engine import Engine

EVERY, PATIENCE = 3.0, 40.0
"""Seconds between beats, and without one until a process counts as lost."""


class Watch:
    """Inside, every process beats in a thread of its own, and watches the others'.

    gloo tells of a process that died at once; NCCL may wait for ever, and so does anybody for a process that hangs. lost:
    called, outside of the main thread, with a sentence; it should end the process, which may be waiting inside a collective.
    """

    def __init__(self, engine: Engine, lost: Callable[[str], None]) -> None:
        self._rank, self._processes, self._lost = engine.rank, engine.processes, lost
        self._ending, self._parent = threading.Event(), os.getppid()
        self._thread: threading.Thread | None = None
        if engine.processes > 1:
            self._store = self._connected(engine)
            self._beats = [(b"", time.monotonic())] * self._processes
            self._thread = threading.Thread(target=self._watch, name="findna-kit watch", daemon=True)

    def _connected(self, engine: Engine) -> TCPStore:
        wait = timedelta(seconds=PATIENCE)
        store = TCPStore("0.0.0.0", 0, None, is_master=True, wait_for_workers=False, timeout=wait) if engine.first else None  # noqa: S104
        host = engine.told(lambda: os.environ.get("MASTER_ADDR", socket.gethostname()))
        port = engine.told(lambda: store.port if store else 0)
        return store or TCPStore(host, port, None, is_master=False, timeout=wait)

    def __enter__(self) -> Watch:
        """Begins to beat."""
        if self._thread is not None:
            self._store.set(str(self._rank), "0")
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends: from here on nobody is missed."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(timeout=2 * EVERY)

    def first_is_lost(self) -> bool:
        """Whether the first process, where the beats are kept, does not answer any more."""
        if self._thread is None:
            return False
        try:
            self._store.get("0")
        except RuntimeError:
            return True
        return False

    def _watch(self) -> None:
        beat = 0
        while not self._ending.wait(EVERY):
            beat += 1
            if os.getppid() != self._parent:  # whoever started this process is gone: nobody would end it
                os.kill(os.getpid(), signal.SIGTERM)
                self._parent = os.getppid()
            try:
                self._store.set(str(self._rank), str(beat))
                silent = self._silent()
            except RuntimeError:  # the store lives in the first process
                silent = [0]
            if silent and not self._ending.is_set():
                self._lost(f"process {silent[0]} of {self._processes} has given no sign of life")
                return

    def _silent(self) -> list[int]:
        """Those whose beat has not changed for too long."""
        now = time.monotonic()
        for rank, (beat, _) in enumerate(self._beats):
            found = self._store.get(str(rank))
            if found != beat:
                self._beats[rank] = (found, now)
        return [rank for rank, (_, since) in enumerate(self._beats) if now - since > PATIENCE]

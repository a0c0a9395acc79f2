"""A heartbeat between the processes of a run: one that is gone, or hangs, ends the others within a minute."""

from __future__ import annotations

import math
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

    from findna_kit.distributed.collectives import Engine

EVERY, PATIENCE = 3.0, 40.0
"""Seconds between beats, and without one until a process counts as lost."""


class Heartbeat:
    """Inside, every process beats in a thread of its own, and watches the others' beats in another.

    gloo tells of a process that died at once; NCCL may wait for ever, and so does anybody for a process that hangs. lost:
    called, outside of the main thread, with a sentence and the number of the one that is gone; it should end the process,
    which may be waiting inside a collective.
    """

    def __init__(self, engine: Engine, lost: Callable[[str, int], None]) -> None:
        self._rank, self._processes, self._lost = engine.rank, engine.world_size, lost
        self._ending, self._parent = threading.Event(), os.getppid()
        self._threads: list[threading.Thread] = []
        if engine.world_size > 1:
            self._store, self._address = self._connected(engine)
            self._beats = [(b"", time.monotonic())] * self._processes
            self._threads = [
                threading.Thread(target=loop, name=f"findna-kit {loop.__name__}", daemon=True)
                for loop in (self._beat, self._watch)
            ]

    def _connected(self, engine: Engine) -> tuple[TCPStore, tuple[str, int]]:
        """The store of the beats, which lives in the first process; and where."""
        wait = timedelta(seconds=PATIENCE)
        store = (
            TCPStore("0.0.0.0", 0, None, is_master=True, wait_for_workers=False, timeout=wait)
            if engine.is_main_process
            else None
        )
        host = engine.broadcast_object(lambda: os.environ.get("MASTER_ADDR", socket.gethostname()))
        port = engine.broadcast_object(lambda: store.port if store else 0)
        return store or TCPStore(host, port, None, is_master=False, timeout=wait), (host, port)

    def __enter__(self) -> Heartbeat:
        """Begins to beat."""
        if self._threads:
            self._store.set(str(self._rank), "0")
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends: from here on nobody is missed."""
        self._ending.set()
        for thread in self._threads:
            thread.join(timeout=2 * EVERY)

    def first_is_lost(self) -> bool:
        """Whether nobody listens any more where the first process keeps the beats."""
        if not self._threads:
            return False
        try:
            socket.create_connection(self._address, timeout=EVERY).close()
        except OSError:
            return True
        return False

    def _beat(self) -> None:
        """Says that this process lives, and reads when the others last did; waits for ever where the first one hangs."""
        beat = 0
        while not self._ending.wait(EVERY):
            beat += 1
            try:
                self._store.set(str(self._rank), str(beat))
                for rank, (known, _) in enumerate(self._beats):
                    found = self._store.get(str(rank))
                    if found != known:
                        self._beats[rank] = (found, time.monotonic())
            except RuntimeError:  # the first process is gone, and the store with it
                self._beats = [(b"", -math.inf)] * self._processes
                return

    def _watch(self) -> None:
        while not self._ending.wait(EVERY):
            if os.getppid() != self._parent:  # whoever started this process is gone: nobody would end it
                os.kill(os.getpid(), signal.SIGTERM)
                self._parent = os.getppid()
            now = time.monotonic()
            # Where the first one does not answer, no beat is heard, and it is the first of the silent.
            silent = [rank for rank, (_, since) in enumerate(self._beats) if now - since > PATIENCE]
            if silent and not self._ending.is_set():
                self._lost(f"process {silent[0]} of {self._processes} has given no sign of life", silent[0])
                return

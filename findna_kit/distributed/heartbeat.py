"""A heartbeat between the processes of a run: if one of them dies or hangs, the others end within a minute."""

from __future__ import annotations

import math
import os
import secrets
import signal
import socket
import threading
from typing import TYPE_CHECKING

from findna_kit.distributed.beat_server import LINE_LIMIT, BeatServer
from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from findna_kit.distributed.collectives import Engine

INTERVAL, TIMEOUT = 3.0, 40.0
"""Seconds between beats, and seconds without one after which a process counts as lost."""


class Heartbeat:
    """A context in which every process reports to the main process, and all of them notice if one falls silent.

    gloo reports a process that died at once, but NCCL may wait for it forever, and both wait forever for one that hangs.

    on_lost: called in a thread with a message and the rank of the lost process. It should end this process, whose main thread
    may be waiting inside a collective.
    """

    def __init__(self, engine: Engine, on_lost: Callable[[str, int], None]) -> None:
        self._rank, self._world_size, self._on_lost = engine.rank, engine.world_size, on_lost
        self._ending, self._parent = threading.Event(), os.getppid()
        self._server: BeatServer | None = None
        self._thread: threading.Thread | None = None
        if engine.world_size > 1:
            self._connect(engine)
            self._thread = threading.Thread(target=self._beat, name="findna-kit heartbeat", daemon=True)

    def _connect(self, engine: Engine) -> None:
        """Start the server in the main process and connect the other ranks to it. FindnaError if there is no connection.

        The server listens only on the addresses to which the other ranks resolve MASTER_ADDR. They need not be the one that the
        main process sees: on many systems a host's own name is 127.0.1.1. The token, new for every run, goes through the
        process group, so only processes of the run know it.
        """
        # Rank 0 needs the view of all other ranks before it listens, and they need its ports before they connect.
        resolved = engine.gather_objects(_resolve(os.environ["MASTER_ADDR"]))
        if engine.is_main_process:
            self._server = BeatServer(resolved[1:], engine.world_size, secrets.token_hex(16), TIMEOUT)
        server = self._server
        token, ports = engine.broadcast_object(lambda: (server.token, server.ports) if server else ("", {}))
        if server is None:
            address = resolved[engine.rank]
            self._address = (address, ports[address])
            try:
                self._connection = socket.create_connection(self._address, timeout=TIMEOUT)
                self._replies = self._connection.makefile("rb")
                self._connection.sendall(f"{token} {engine.rank}\n".encode())
            except OSError as error:
                raise FindnaError(
                    f"process {engine.rank} cannot connect to the main process at {address}:{ports[address]} ({error}); "
                    "allow connections between the nodes, or set MASTER_ADDR to another address"
                ) from error

    def __enter__(self) -> Heartbeat:
        """Start to beat."""
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; a process that ends from here on is not reported as lost."""
        self._ending.set()
        if self._thread is None:
            return
        # Bounded, because the thread may be waiting for a reply, which it does for up to TIMEOUT seconds.
        self._thread.join(timeout=2 * INTERVAL)
        if self._server is not None:
            self._server.close(wait=INTERVAL)
        else:
            self._replies.close()
            self._connection.close()

    def main_process_is_lost(self) -> bool:
        """Return whether the main process no longer listens."""
        if self._thread is None or self._server is not None:
            return False
        try:
            # A new connection, because the other belongs to the thread that beats. Without the token it counts as no beat.
            socket.create_connection(self._address, timeout=INTERVAL).close()
        except OSError:
            return True
        return False

    def _beat(self) -> None:
        """Exchange beats at every interval, until the context ends or a process is lost."""
        while not self._ending.wait(INTERVAL):
            if os.getppid() != self._parent:  # the launcher is gone, so nobody else would end this process
                os.kill(os.getpid(), signal.SIGTERM)
                self._parent = os.getppid()
            silent = [rank for rank, age in enumerate(self._ages()) if age > TIMEOUT]
            if not silent:
                continue
            if self._server is not None and self._world_size > 2:
                # The other ranks learn of the loss with their next beat. If the main process ended before, they would take it
                # for the lost one.
                self._ending.wait(INTERVAL)
            if not self._ending.is_set():
                self._on_lost(f"process {silent[0]} of {self._world_size} no longer responds", silent[0])
            return

    def _ages(self) -> list[float]:
        """Return the seconds since each rank was heard; infinity for all of them if the main process does not answer."""
        if self._server is not None:
            return self._server.ages()
        try:
            self._connection.sendall(b"beat\n")
            ages = [float(age) for age in self._replies.readline(LINE_LIMIT).split()]
        except OSError:  # the connection is broken, or there was no answer before the timeout
            ages = []
        return ages or [math.inf] * self._world_size


def _resolve(host: str) -> str:
    """Return the address of a host, IPv4 if it has one."""
    entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return str(min(entries, key=lambda entry: entry[0] != socket.AF_INET)[4][0])

"""The server of the heartbeat: the main process listens for the other ranks, and only for clients with the run's token.

The protocol is lines of ASCII. A client sends `TOKEN RANK` once and then `beat` at every interval. Each beat is answered by
the seconds since every rank was last heard, separated by spaces. A client without the token is disconnected.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from contextlib import suppress
from hmac import compare_digest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LINE_LIMIT = 2**16
"""Longest line in bytes; enough for the answer to thousands of ranks."""
_GREETING_TIMEOUT = 5.0
"""Seconds that a client has to send its token."""
_POLL = 0.5
"""Seconds between checks of whether the server is closing."""


class BeatServer:
    """Listens on the given addresses of this machine, in threads, and records when each rank was last heard.

    ports: the port of each address, chosen by the system. timeout: seconds until a silent connection is closed.
    """

    def __init__(self, addresses: Iterable[str], world_size: int, token: str, timeout: float) -> None:
        self.token, self._timeout = token, timeout
        # A rank that has not connected yet counts as heard now, so that it has the whole timeout to send its first beat. No
        # lock is needed, because each connection's thread writes only the entry of its own rank.
        self._last_heard = [time.monotonic()] * world_size
        self._closing, self._clients = threading.Event(), set[int]()
        listeners = {address: _listen(address) for address in dict.fromkeys(addresses)}
        self._listeners = list(listeners.values())
        self.ports: dict[str, int] = {address: listener.getsockname()[1] for address, listener in listeners.items()}
        self._threads = [
            threading.Thread(target=self._accept, args=(listener,), name="findna-kit heartbeat server", daemon=True)
            for listener in self._listeners
        ]
        for thread in self._threads:
            thread.start()

    def ages(self) -> list[float]:
        """Return the seconds since each rank was last heard; 0 for rank 0, which asks."""
        now = time.monotonic()
        return [0.0, *(now - last for last in self._last_heard[1:])]

    def close(self, wait: float) -> None:
        """Stop listening, after the clients have disconnected or `wait` seconds have passed.

        A client that is still connected would take the closed connection for the death of the main process.
        """
        until = time.monotonic() + wait
        while self._clients and time.monotonic() < until:
            time.sleep(_POLL / 10)
        self._closing.set()
        # Wakes the threads on Linux; elsewhere they see the event after at most _POLL. A process that ends after a failure must
        # not wait here: a launcher that sends SIGTERM to it may come before its error message.
        for listener in self._listeners:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=2 * _POLL)

    def _accept(self, listener: socket.socket) -> None:
        """Start a thread for each client, until the server closes."""
        with listener:
            listener.settimeout(_POLL)
            while not self._closing.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                except OSError:  # the server closes, the client has left, or the process is out of file descriptors
                    self._closing.wait(_POLL)
                    continue
                threading.Thread(target=self._serve, args=(connection,), name="findna-kit beats", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Check the client's token, then answer its beats. A connection that breaks is like one that ends: a silent rank."""
        with connection, connection.makefile("rb") as lines, suppress(OSError):
            connection.settimeout(_GREETING_TIMEOUT)
            rank = self._authenticate(lines.readline(LINE_LIMIT))
            if rank is None:
                return
            self._clients.add(rank)
            try:
                connection.settimeout(self._timeout)
                while not self._closing.is_set() and lines.readline(LINE_LIMIT):
                    self._last_heard[rank] = time.monotonic()
                    connection.sendall(" ".join(f"{age:.1f}" for age in self.ages()).encode() + b"\n")
            finally:
                self._clients.discard(rank)

    def _authenticate(self, greeting: bytes) -> int | None:
        """Return the rank of a client whose first line is `TOKEN RANK`, or None for any other client."""
        token, _, rank = greeting.strip().partition(b" ")
        # compare_digest takes the same time for every token, so that none can be guessed byte by byte.
        if not compare_digest(token, self.token.encode()) or not rank.isdigit() or not 0 < int(rank) < len(self._last_heard):
            return None
        return int(rank)


def _listen(address: str) -> socket.socket:
    """Return a listening socket on a free port of this address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, 0), family=family)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        # The other ranks reach this machine by an address that is not its own (NAT). All that remains is to listen on every
        # address; the token still keeps strange clients out.
        return socket.create_server(("", 0), family=family)

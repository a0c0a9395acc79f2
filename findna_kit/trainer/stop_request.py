"""Signals that ask a run to save its state and stop."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class StopRequest:
    """Records the first SIGINT, SIGTERM or SIGUSR2. The run then saves and stops after the current step.

    A SIGINT after that stops the run at once. A second SIGTERM or SIGUSR2 does not: Slurm signals every process of a step, and
    a supervisor forwards the same signal, so a process often gets it twice.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals inside the context, and restore the previous handlers afterwards.

        Outside the main thread it handles none: Python allows signal handlers in the main thread only.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: Any) -> None:
        if self.signal is None:
            self.signal = number
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

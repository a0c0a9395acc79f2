"""Ctrl-C during a command, as a message."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from findna_kit.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def interruptible(state: str) -> Iterator[None]:
    """Turn Ctrl-C into a message that states what was done."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(signal.SIGINT, f"stopped by Ctrl-C; {state}") from error

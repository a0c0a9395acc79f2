"""The current status of a run, from its record and from the lock of its folder."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from findna_kit.records.paths import LOCK

if TYPE_CHECKING:
    from pathlib import Path

KILLED = "killed"


def is_locked(path: Path) -> bool:
    """Return whether a process holds this lock, on this machine or on one that shares its locks. Never takes it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        # A shared lock fails exactly while another process holds the exclusive one; closing the file releases it.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(descriptor)
    return False


def current_status(run: Path, status: str | None) -> str | None:
    """Return the current status of a run whose run.json holds `status`.

    A locked folder means `running`, whatever the record holds: a resumed run updates it only once the genome is open. A
    record that says `running` without a lock means KILLED (or a run on a machine that does not share its locks).
    """
    if status is None or status == "finished":
        return status
    if is_locked(run / LOCK):
        return "running"
    return KILLED if status == "running" else status

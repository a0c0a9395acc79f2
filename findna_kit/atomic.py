"""Atomic writes: a file or folder is written under a temporary name next to its target, synced, and renamed."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def atomic_write(path: Path, *, replace_folder: bool = False) -> Iterator[Path]:
    """Yield a temporary path, at which the block writes a file or makes a folder, and rename it to `path` at the end.

    So `path` is complete or absent after a crash at any moment. If the block fails, the temporary path is removed and `path` is
    as it was. A file replaces an existing file; a folder replaces an existing one only with `replace_folder`. Raises OSError if
    the target cannot be replaced.
    """
    # Next to the target, because a rename is atomic only within a file system. The dot hides it from patterns such as
    # `step-*`, and with the process's number two writers of one target do not share a temporary path.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    _remove(temporary)  # a killed process may have had the same number
    try:
        yield temporary
        # Before the rename: otherwise the new name could survive a power failure without the contents.
        for written in (*temporary.rglob("*"), temporary):
            sync(written)
        if replace_folder and path.is_dir():
            _exchange(temporary, path)
        else:
            temporary.replace(path)
    except BaseException:
        _remove(temporary)
        raise
    # The new name is an entry of the parent folder, which must reach the disk as well.
    sync(path.parent)


def _exchange(new: Path, path: Path) -> None:
    """Put the folder `new` in the place of the folder `path`; no system call replaces a folder that is not empty."""
    old = path.with_name(f".{path.name}.old.{os.getpid()}")
    _remove(old)
    try:
        path.rename(old)
        new.rename(path)
    finally:
        if not os.path.lexists(path):
            old.rename(path)
        _remove(old)


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def sync(path: Path) -> None:
    """Wait until the contents of a file, or the list of names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

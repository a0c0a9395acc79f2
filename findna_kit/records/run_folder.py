"""A run's folder: created once, and used by one process at a time."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from findna_kit import checkpoint
from findna_kit.errors import FindnaError, OutputExists
from findna_kit.metrics.writers import BOARD, FILE
from findna_kit.records.paths import (
    AUDIT_JSON,
    EVALUATION_JSON,
    LOCK,
    PREDICTIONS,
    RECIPE,
    REPORT,
    REPORTS,
    RUN_JSON,
    VIEWS_JSON,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_RUN_FILES = (
    RECIPE, RUN_JSON, VIEWS_JSON, EVALUATION_JSON, PREDICTIONS, AUDIT_JSON, REPORT, REPORTS, FILE, BOARD, checkpoint.FOLDER,
)  # fmt: skip


@dataclass(frozen=True)
class RunLocation:
    """The location of a run: a new folder (`out`; by default runs/NAME-1, -2, ...), or one to resume (`resume`)."""

    out: Path | None = None
    resume: Path | None = None
    overwrite: bool = False

    @property
    def resuming(self) -> bool:
        """Return whether the folder holds a run with a checkpoint to resume from."""
        return self.resume is not None and bool(checkpoint.steps_saved(self.resume))

    @contextmanager
    def claimed(self, name: str) -> Iterator[tuple[Path, bool]]:
        """Create and lock the folder; yield it, and whether the run in it is to be resumed.

        Raises OutputExists if the folder holds other files, or a run that may not be replaced; FindnaError if another process
        holds the lock.
        """
        folder = self.resume or self.out or _first_free(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputExists(f"{folder}: cannot be a run's folder: {error.strerror}; choose another") from error
        with exclusive_lock(folder):
            content = [path for path in folder.iterdir() if path.name != LOCK]
            resuming = self.resuming
            if content and not resuming:
                self._clear(folder, content)
            yield folder, resuming

    def _clear(self, folder: Path, content: list[Path]) -> None:
        """Empty the folder of a run to be replaced, or of one that was killed before its first checkpoint."""
        if self.resume is None and not self.overwrite:
            options = f"take another --out, resume it with `findna-kit run --resume {folder}`, or --overwrite it"
            raise OutputExists(f"{folder}: already exists; {options}")
        foreign = sorted(path.name for path in content if not _is_run_file(path.name))
        # A reporter that failed to start leaves its folder before there is a run.json.
        started = (folder / RUN_JSON).is_file() or {path.name for path in content} <= {REPORTS}
        if foreign or not started:
            why = f"{', '.join(foreign[:3])} does not belong to a run" if foreign else f"no {RUN_JSON}"
            raise OutputExists(f"{folder}: is not a run's folder ({why}); nothing was deleted")
        for path in content:
            # Of a link only the link is removed: rmtree refuses it, and what it points to is not part of the run.
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _is_run_file(name: str) -> bool:
    """Return whether a run writes this name, or a temporary file of it that a kill left (`.run.json.123`)."""
    return name in _RUN_FILES or any(name.startswith(f".{file}.") for file in _RUN_FILES)


def _first_free(name: str) -> Path:
    """Create and return runs/NAME-N for the smallest N that is free."""
    number = 1
    while True:
        folder = Path("runs") / f"{name}-{number}"
        try:
            # Created at once: of two runs that start together, only one can create it.
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock inside the block. Raises FindnaError if another process holds it."""
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FindnaError(f"{folder}: in use by another process; wait until it ends, or choose another folder") from None
    except OSError as error:
        raise OutputExists(f"{folder}: cannot be written to: {error.strerror}; choose another") from error
    try:
        yield
    finally:
        lock.release()

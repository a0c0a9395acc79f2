"""A run's folder: made once, used by one process at a time, its JSON rewritten whole."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from findna_kit import checkpoint
from findna_kit.atomic import atomic_write
from findna_kit.errors import FindnaError, Interrupted, OutputExists, RunStopped
from findna_kit.metrics.writers import BOARD, FILE
from findna_kit.records.run_record import EVALUATION as EVALUATION
from findna_kit.records.run_record import LOCK as LOCK
from findna_kit.records.run_record import RECIPE as RECIPE
from findna_kit.records.run_record import RECORD as RECORD
from findna_kit.records.run_record import read_by_task as read_by_task

if TYPE_CHECKING:
    from collections.abc import Iterator

CELLS, AUDIT, REPORT = "evaluation", "audit.json", "report.html"
REPORTS = "reports"
"""Where reporters of plugins write, if they write into a run's folder."""


@dataclass(frozen=True)
class RunLocation:
    """Where a run is to lie: a new folder (`out`, or runs/NAME-1, -2, ...), or one to go on in (`resume`)."""

    out: Path | None = None
    resume: Path | None = None
    overwrite: bool = False

    @property
    def resuming(self) -> bool:
        """Whether there is a run to be gone on with."""
        return self.resume is not None and bool(checkpoint.steps_saved(self.resume))

    @contextmanager
    def claimed(self, name: str) -> Iterator[tuple[Path, bool]]:
        """The folder, made and held by this process alone; True where a run there is to be gone on with.

        Raises OutputExists where that would touch something that is no run, or a run that nobody said may be replaced;
        FindnaError where another process holds it.
        """
        folder = self.resume or self.out or _first_free(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputExists(f"{folder}: cannot be a run's folder: {error.strerror}; name another") from error
        with exclusive_lock(folder):
            held = [path for path in folder.iterdir() if path.name != LOCK]
            resuming = self.resuming
            if held and not resuming:
                self._clear(folder, held)
            yield folder, resuming

    def _clear(self, folder: Path, held: list[Path]) -> None:
        """Empties a folder that may be: a run to be replaced, or one that was killed before its first checkpoint."""
        if self.resume is None and not self.overwrite:
            ways = f"take another --out, go on with --resume {folder}, or --overwrite it"
            raise OutputExists(f"{folder}: is there already; {ways}")
        strange = sorted(path.name for path in held if not _is_own(path.name))
        begun = (folder / RECORD).is_file() or {path.name for path in held} <= {REPORTS}  # a reporter that failed to begin
        if strange or not begun:
            why = f"{', '.join(strange[:3])} is not of it" if strange else f"no {RECORD}"
            raise OutputExists(f"{folder}: holds something that is no run ({why}); nothing there is touched")
        for path in held:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _is_own(name: str) -> bool:
    """Whether a run writes a file or folder of that name, or one beside it that a kill left (`.run.json.123`)."""
    own = (RECIPE, RECORD, EVALUATION, CELLS, AUDIT, REPORT, REPORTS, FILE, BOARD, checkpoint.FOLDER)
    return name in own or any(name.startswith(f".{one}.") for one in own)


def _first_free(name: str) -> Path:
    number = 1
    while True:
        folder = Path("runs") / f"{name}-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Inside, this process is the only one in the folder; FindnaError where another is."""
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FindnaError(f"{folder}: another process is running there; wait for it, or take another folder") from None
    except OSError as error:
        raise OutputExists(f"{folder}: cannot be written to: {error.strerror}; name another") from error
    try:
        yield
    finally:
        lock.release()


class RunRecord:
    """run.json: rewritten whole each time, beside and renamed, by the first of several processes."""

    def __init__(self, folder: Path, *, resuming: bool, writes: bool = True) -> None:
        self.folder, self._path, self._writes = folder, folder / RECORD, writes
        self.values: dict[str, Any] = json.loads(self._path.read_text()) if resuming and self._path.is_file() else {}

    @contextmanager
    def told(self) -> Iterator[None]:
        """Whatever ends what is inside is told in `status` and `reason`."""
        status, reason = "finished", None
        try:
            yield
        except BaseException as error:
            kinds = {Interrupted: "interrupted", KeyboardInterrupt: "interrupted", RunStopped: "stopped"}
            status = next((word for kind, word in kinds.items() if isinstance(error, kind)), "failed")
            reason = str(error) or type(error).__name__
            raise
        finally:
            self.update(status=status, reason=reason)

    def update(self, **values: Any) -> None:
        """Takes these values and writes all."""
        self.values |= values
        if self._writes:
            write_json(self._path, self.values)


def write_json(path: Path, content: Any) -> None:
    """Whole or not at all."""
    with atomic_write(path) as beside:
        beside.write_text(json.dumps(content, indent=1) + "\n")

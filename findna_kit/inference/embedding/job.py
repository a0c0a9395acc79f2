"""A job that computes numbers for the sequences of a file, block by block, and that a later call can resume."""

from __future__ import annotations

import platform
import signal
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import torch

from findna_kit.errors import FindnaError, Interrupted
from findna_kit.inference.embedding import formats, partial_output
from findna_kit.inference.embedding.blocks import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from findna_kit.inference.embedding.description import RowsDescription
    from findna_kit.inference.embedding.formats import RowFormat
    from findna_kit.inference.embedding.inputs import Row, SequenceSource
    from findna_kit.trainer import Observer


@dataclass(frozen=True)
class Output:
    """The output file, and what may happen to one that exists. formats: by suffix; by default those of embeddings."""

    path: Path
    overwrite: bool = False
    resume: bool = False
    formats: Mapping[str, RowFormat] | None = None

    def __post_init__(self) -> None:
        """Raise FindnaError for options that exclude each other, an unknown suffix or a missing package; OutputExists."""
        if self.overwrite and self.resume:
            raise FindnaError("--overwrite starts again and --resume continues: give only one of them")
        self.format()
        resuming = partial_output.read_state(self.path) is not None or formats.read_description(self.path) is not None
        formats.refuse_existing(self.path, replace=self.overwrite or (self.resume and resuming))

    def format(self) -> RowFormat:
        """Return the format of the file."""
        return formats.format_of(self.path, formats.FORMATS if self.formats is None else self.formats)


@dataclass
class BlockJob(ABC):
    """The sequences, where their numbers go, and what the output records."""

    source: SequenceSource
    output: Output
    description: RowsDescription

    @abstractmethod
    def compute(self, sequences: list[str]) -> NDArray[np.float32]:
        """Return the numbers [n, D] of a block of sequences."""

    def write(self, observer: Observer) -> None:
        """Compute the rows that are missing, and write the output and the files next to it.

        Does nothing if the output is complete. Calls `observer.report(rows done, {})` after each block. Raises FindnaError if
        `resume` finds rows of another job or the disk refuses, Interrupted on Ctrl-C.
        """
        out, resume = self.output.path, self.output.resume
        existing = formats.read_description(out)
        if resume and existing is not None and partial_output.read_state(out) is None:
            partial_output.check_same_rows(existing, self.description, out)
            partial_output.remove(out)
            observer.log(f"{out}: is complete already ({existing['rows']} rows); nothing is left to do")
            return
        with partial_output.acquire(out, self.description, resume=resume, overwrite=self.output.overwrite) as rows:
            self._log_changes(observer)
            try:
                self._append_missing(rows, observer)
                with partial_output.disk_errors(rows.folder):
                    formats.finish(rows, out, self.output.format(), self.source.integers)
            except KeyboardInterrupt as error:
                # The count on the disk, not that in memory: the signal may have arrived between writing and counting.
                done = (partial_output.read_state(out) or {"rows": 0})["rows"]
                message = f"{rows.folder}: {done} of {self.source.count} rows are saved; continue with --resume"
                raise Interrupted(signal.SIGINT, message) from error
        partial_output.remove(out)

    def append(self, rows: partial_output.PartialOutput, block: list[Row]) -> None:
        """Compute a block and write it to the partial output."""
        rows.append([ids for ids, _ in block], self.compute([sequence for _, sequence in block]))

    def blocks(self, rows: Iterator[Row]) -> Iterator[list[Row]]:
        """Group rows into what is computed at once."""
        return blocks(rows, lambda row: len(row[1]))

    def _append_missing(self, rows: partial_output.PartialOutput, observer: Observer) -> None:
        """Compute and append every block that is missing."""
        for block in self.blocks(self.source.rows(rows.rows)):
            self.append(rows, block)
            observer.report(rows.rows, {})
        # The count was taken when the file was opened; a file that shrank since must not give a complete output.
        if rows.rows != self.source.count:
            raise FindnaError(f"{self.description['input']['path']} changed while it was read; start again with --overwrite")

    def _log_changes(self, observer: Observer) -> None:
        """Log where a resumed job starts, and every version or device that differs from those of the first call."""
        state = partial_output.read_state(self.output.path)
        if state is not None and state["rows"]:
            observer.log(f"{self.output.path}: continuing after row {state['rows']} of {self.source.count}")
            before, now = state["description"]["made_with"], self.description["made_with"]
            for name in now:
                if before.get(name) != now[name]:
                    observer.log(f"resumed with {name} {now[name]}, was {before.get(name)}: equal to rounding, not bit for bit")


def made_with(device: str) -> dict[str, str | int]:
    """Return the device, threads and versions, which decide whether results are equal bit for bit."""
    versions = {name: version(name) for name in ("findna-kit", "torch", "numpy")}
    return {"device": device, "threads": torch.get_num_threads(), "python": platform.python_version(), **versions}

"""The temporary folder next to an output, `OUT.part`: it holds finished rows, so that an interrupted call can resume."""

from __future__ import annotations

import io
import json
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from findna_kit.errors import FindnaError, OutputExists
from findna_kit.inference.embedding.description import embedding_count
from findna_kit.inference.embedding.tsv import tsv
from findna_kit.records.json_files import write_json
from findna_kit.records.paths import LOCK
from findna_kit.records.run_folder import exclusive_lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.inference.embedding.description import PartialState, RowsDescription

EMBEDDINGS, IDS, STATE = "embeddings.npy", "ids.tsv", "state.json"
STAGED = ("made.parquet", "made.zarr", "made.text", "old", "beside.tsv", "beside.json")
"""Files that are built from all rows in this folder before they are renamed to the output, and the output they replace."""
_NOT_COMPARED = ("run", "made_with")
"""Entries of a description that do not identify the rows: the path of the run and the versions that computed them."""


class PartialOutput:
    """The rows written so far: `embeddings.npy` and `ids.tsv`, and in `state.json` how many rows are complete in both."""

    def __init__(self, folder: Path, description: RowsDescription) -> None:
        self.folder, self.description = folder, description
        self.rows, self._ends = 0, [0, 0]

    @property
    def embeddings(self) -> Path:
        """Return the path of the .npy file of all rows; it is complete once `rows` says so."""
        return self.folder / EMBEDDINGS

    @property
    def ids(self) -> Path:
        """Return the path of the tab-separated ids, whose first line names the columns."""
        return self.folder / IDS

    def begin(self) -> None:
        """Create both files with their headers and no rows."""
        with disk_errors(self.folder):
            self.embeddings.write_bytes(self._header())
            self.ids.write_bytes(tsv([self.description["columns"]]))
            self._write_state([self.embeddings.stat().st_size, self.ids.stat().st_size], 0)

    @property
    def embedded(self) -> int:
        """Return the number of embeddings written so far."""
        return (self._ends[0] - len(self._header())) // (4 * self.description["dim"])

    def _header(self) -> bytes:
        """Return the header of the .npy file, with the final shape: the file is valid as soon as the last row is written."""
        shape = (embedding_count(self.description), self.description["dim"])
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
        return header.getvalue()

    def resume(self, state: PartialState) -> None:
        """Truncate both files to the last row that is complete in both."""
        with disk_errors(self.folder):
            for path, end in zip((self.embeddings, self.ids), state["ends"], strict=True):
                os.truncate(path, end)
        self.rows, self._ends = state["rows"], state["ends"]

    def append(self, ids: Sequence[Sequence[str]], embeddings: NDArray[np.float32]) -> None:
        """Write a block of rows to the disk, then record it in the state."""
        # In this order, a kill in between leaves rows that `resume` cuts off, never a state that promises missing rows.
        blocks = (np.ascontiguousarray(embeddings, dtype="<f4").tobytes(), tsv(ids))
        with disk_errors(self.folder):
            for path, block in zip((self.embeddings, self.ids), blocks, strict=True):
                with path.open("ab") as file:
                    file.write(block)
                    file.flush()
                    os.fsync(file.fileno())
            ends = [end + len(block) for end, block in zip(self._ends, blocks, strict=True)]
            self._write_state(ends, self.rows + len(ids))

    def _write_state(self, ends: list[int], rows: int) -> None:
        """Record how many rows are complete, and at which byte both files end."""
        write_json(self.folder / STATE, {"description": self.description, "rows": rows, "ends": ends})
        self.rows, self._ends = rows, ends


@contextmanager
def acquire(out: Path, description: RowsDescription, *, resume: bool, overwrite: bool) -> Iterator[PartialOutput]:
    """Yield the partial output of `out`, locked for this process: a new one, or with `resume` the one of an earlier call.

    Raises OutputExists for rows of an earlier call if neither `resume` nor `overwrite` is given and for a folder with other
    files, FindnaError if those rows are of another job or another process is writing them.
    """
    folder = partial_folder(out)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    # Two calls that append to the same files would interleave their rows.
    with exclusive_lock(folder):
        partial, state = PartialOutput(folder, description), read_state(out)
        if state is not None and resume:
            check_same_rows(state["description"], description, folder)
            partial.resume(state)
        elif state is not None and not overwrite:
            found = f"{folder}: contains {state['rows']} of {state['description']['rows']} rows of an interrupted call"
            raise OutputExists(f"{found}; continue with --resume, or start again with --overwrite")
        else:
            _refuse_other_files(folder)
            partial.begin()
        yield partial


def partial_folder(out: Path) -> Path:
    """Return the path of the temporary folder of an output."""
    return out.with_name(f"{out.name}.part")


def _refuse_other_files(folder: Path) -> None:
    """Raise OutputExists if the folder holds a file that is not ours: the folder is deleted when the output is complete."""
    ours = (EMBEDDINGS, IDS, STATE, LOCK, *STAGED)
    temporary = tuple(f".{name}." for name in ours)
    others = [path.name for path in folder.iterdir() if path.name not in ours and not path.name.startswith(temporary)]
    if others:
        raise OutputExists(
            f"{folder}: contains {min(others)}, which this command did not write; move it away, or use another --out"
        )


def read_state(out: Path) -> PartialState | None:
    """Return the state of an output's temporary folder, or None if there is none."""
    folder = partial_folder(out)
    if not ((folder / STATE).is_file() and (folder / EMBEDDINGS).is_file()):
        return None
    state: PartialState = json.loads((folder / STATE).read_text())
    return state


def remove(out: Path) -> None:
    """Delete the temporary folder of a complete output."""
    shutil.rmtree(partial_folder(out), ignore_errors=True)


def check_same_rows(existing: RowsDescription, requested: RowsDescription, path: Path) -> None:
    """Raise FindnaError, listing the differences, if `existing` describes other rows than `requested`."""
    before, now = _flat(existing), _flat(requested)
    keys = dict.fromkeys([*before, *now])
    differences = [f"{key}: {before.get(key)} there, {now.get(key)} now" for key in keys if before.get(key) != now.get(key)]
    if differences:
        message = f"{path}: contains other results; --resume needs the same ones, --overwrite replaces them:"
        raise FindnaError("\n  ".join([message, *differences]))


def _flat(description: RowsDescription) -> dict[str, object]:
    """Return the entries that identify the rows, with those of the input prefixed by `input.`."""
    compared: dict[str, object] = {key: value for key, value in description.items() if key not in (*_NOT_COMPARED, "input")}
    source = {f"input.{key}": value for key, value in description["input"].items() if key != "path"}
    return {**compared, **source}


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError of the block into a FindnaError that says how to continue."""
    try:
        yield
    except OSError as error:
        message = f"{folder}: cannot be written ({error.strerror}); complete blocks are kept there"
        raise FindnaError(f"{message}: free some space and continue with --resume, or use another --out") from error

"""The folder beside an output that keeps its rows until all are there, so that a killed call can be gone on with."""

from __future__ import annotations

import io
import json
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from findna_kit.errors import FindnaError, OutputExists
from findna_kit.inference.embedding.tsv import tsv
from findna_kit.records.json_files import write_json
from findna_kit.records.paths import LOCK
from findna_kit.records.run_folder import exclusive_lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

EMBEDDINGS, IDS, STATE = "embeddings.npy", "ids.tsv", "state.json"
STAGED = ("made.parquet", "made.zarr", "old", "beside.tsv", "beside.json")
"""What a whole part is made into in its folder, before it is renamed; and a replaced folder."""
_NOT_COMPARED = ("run", "made_with")
"""Where the run lies and what it is read with: neither says which embeddings these are."""


class Part:
    """Rows so far: `embeddings.npy` and `ids.tsv`, both appended to, and how far both are whole in `state.json`."""

    def __init__(self, folder: Path, description: Mapping[str, Any]) -> None:
        self.folder, self.description = folder, description
        self.rows, self._ends = 0, [0, 0]

    @property
    def embeddings(self) -> Path:
        """A .npy of all rows, whole once `rows` says so."""
        return self.folder / EMBEDDINGS

    @property
    def ids(self) -> Path:
        """Tab-separated, the first line naming the columns."""
        return self.folder / IDS

    def begin(self) -> None:
        """Both files with their headers and no row."""
        shape = (self.description["rows"], self.description["dim"])
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
        with writing(self.folder):
            self.embeddings.write_bytes(header.getvalue())
            self.ids.write_bytes(tsv([self.description["columns"]]))
            self._keep([self.embeddings.stat().st_size, self.ids.stat().st_size], 0)

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Takes both files back to the last row that is whole in both."""
        with writing(self.folder):
            for path, end in zip((self.embeddings, self.ids), state["ends"], strict=True):
                os.truncate(path, end)
        self.rows, self._ends = state["rows"], state["ends"]

    def append(self, ids: Sequence[Sequence[str]], embeddings: NDArray[np.float32]) -> None:
        """A block of rows: on the disk, and then told in the state."""
        blocks = (np.ascontiguousarray(embeddings, dtype="<f4").tobytes(), tsv(ids))
        with writing(self.folder):
            for path, block in zip((self.embeddings, self.ids), blocks, strict=True):
                with path.open("ab") as file:
                    file.write(block)
                    file.flush()
                    os.fsync(file.fileno())
            ends = [end + len(block) for end, block in zip(self._ends, blocks, strict=True)]
            self._keep(ends, self.rows + len(ids))

    def _keep(self, ends: list[int], rows: int) -> None:
        write_json(self.folder / STATE, {"description": self.description, "rows": rows, "ends": ends})
        self.rows, self._ends = rows, ends


@contextmanager
def claimed(out: Path, description: Mapping[str, Any], *, resume: bool, overwrite: bool) -> Iterator[Part]:
    """The part of an output, held by this process alone: begun, or gone on with; what an earlier call left is removed if told.

    Raises OutputExists for a leftover of which nothing is said and for a folder of something else, FindnaError for a leftover
    of other embeddings or of another process.
    """
    folder = folder_of(out)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder):
        part, left = Part(folder, description), state_of(out)
        if left is not None and resume:
            refuse_another(left["description"], description, folder)
            part.go_on(left)
        elif left is not None and not overwrite:
            told = f"{folder}: holds {left['rows']} of {left['description']['rows']} rows of a call that was stopped"
            raise OutputExists(f"{told}; go on with --resume, or begin anew with --overwrite")
        else:
            _refuse_strange(folder)
            part.begin()
        yield part


def folder_of(out: Path) -> Path:
    """Where the part of an output lies."""
    return out.with_name(f"{out.name}.part")


def _refuse_strange(folder: Path) -> None:
    """OutputExists where something lies in a part's folder that no part has: the folder goes once the output is whole."""
    own = (EMBEDDINGS, IDS, STATE, LOCK, *STAGED)
    beside = tuple(f".{name}." for name in own)
    strange = [path.name for path in folder.iterdir() if path.name not in own and not path.name.startswith(beside)]
    if strange:
        raise OutputExists(f"{folder}: holds {min(strange)}, which is of no embedding; move it away, or name another --out")


def state_of(out: Path) -> dict[str, Any] | None:
    """What the part of an output tells of itself; None where there is none that has begun."""
    folder = folder_of(out)
    if not ((folder / STATE).is_file() and (folder / EMBEDDINGS).is_file()):
        return None
    state: dict[str, Any] = json.loads((folder / STATE).read_text())
    return state


def remove(out: Path) -> None:
    """The output is whole: its part goes."""
    shutil.rmtree(folder_of(out), ignore_errors=True)


def refuse_another(there: Mapping[str, Any], now: Mapping[str, Any], where: Path) -> None:
    """FindnaError that lists in what the embeddings there are others than those asked for."""
    before, wanted = _flat(there), _flat(now)
    keys = dict.fromkeys([*before, *wanted])
    differs = [f"{key}: {before.get(key)} there, {wanted.get(key)} now" for key in keys if before.get(key) != wanted.get(key)]
    if differs:
        raise FindnaError("\n  ".join([f"{where}: is of other embeddings; --resume needs the same, or --overwrite:", *differs]))


def _flat(description: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in description.items() if key not in _NOT_COMPARED}
    source = {f"input.{key}": value for key, value in kept.pop("input").items() if key != "path"}
    return {**kept, **source}


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Inside, what the disk refuses is a sentence."""
    try:
        yield
    except OSError as error:
        told = f"{folder}: cannot be written to: {error.strerror}; whole blocks stay there"
        raise FindnaError(f"{told}: make room, and go on with --resume, or name another --out") from error

"""What a task's evaluation is made of: predictions of its test rows, each kept when it is finished and never made twice."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from findna_kit.atomic import atomic_write
from findna_kit.errors import FindnaError, OutputExists

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from findna_kit.evaluation.scores import Scores


@dataclass(frozen=True)
class Prediction:
    """The classes' scores of the test rows [n, K]; what was chosen to get them, ready for JSON."""

    scores: Scores
    chosen: dict[str, Any]


def key_of(identity: Mapping[str, Any]) -> str:
    """A name for all that a prediction depends on."""
    return hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=16).hexdigest()


class Cells:
    """Finished predictions in a folder, by key: KEY.npy, and KEY.json, which is written last: without it there is no cell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, key: str) -> bool:
        """Whether it is finished."""
        return self._description(key).is_file() and self._scores(key).is_file()

    def get(self, key: str) -> Prediction:
        """A finished one. Raises FindnaError where its files are damaged."""
        try:
            told = json.loads(self._description(key).read_text())
            return Prediction(np.load(self._scores(key), allow_pickle=False), told["chosen"])
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise FindnaError(
                f"{self._scores(key)}: cannot be read ({error}); remove it, and the cell is made again"
            ) from error

    def made(self, identity: Mapping[str, Any], make: Callable[[Path], Prediction]) -> Prediction:
        """The finished prediction, or what `make` gives; made by one process at a time.

        make is given a folder of its own, in which it may keep what a kill is not to cost; it is removed at the end.
        Raises OutputExists where nothing can be written.
        """
        key = key_of(identity)
        lock = FileLock(self.folder / f".{key}.lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            held = lock.acquire()
        except OSError as error:
            raise OutputExists(f"{self.folder}: cannot be written to: {error.strerror}; predictions are kept there") from error
        with held:
            if not self.has(key):
                unfinished = self.folder / f"{key}.unfinished"
                self._keep(key, identity, make(unfinished))
                _remove(unfinished)
            return self.get(key)

    def _keep(self, key: str, identity: Mapping[str, Any], made: Prediction) -> None:
        with atomic_write(self._scores(key)) as beside, beside.open("wb") as file:
            np.save(file, made.scores, allow_pickle=False)
        with atomic_write(self._description(key)) as beside:
            beside.write_text(json.dumps({"cell": dict(identity), "chosen": made.chosen}, indent=1) + "\n")

    def _scores(self, key: str) -> Path:
        return self.folder / f"{key}.npy"

    def _description(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def _remove(folder: Path) -> None:
    import shutil

    if folder.is_dir():
        shutil.rmtree(folder)

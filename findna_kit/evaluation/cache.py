"""Cache of predictions on a task's test split: each is stored as soon as it is finished, and never computed twice."""

from __future__ import annotations

import hashlib
import json
import shutil
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
    """The scores of the classes for the test samples [n, K], and the hyperparameters that were chosen, ready for JSON.

    weights: a file of the network that predicted, if it is to be kept with the prediction.
    """

    scores: Scores
    chosen: Mapping[str, Any]
    weights: Path | None = None


def cache_key(identity: Mapping[str, Any]) -> str:
    """Return a digest of all that a prediction depends on."""
    # Sorted keys: equal identities have equal names, in whatever order they were built.
    return hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=16).hexdigest()


class PredictionCache:
    """Finished predictions in a folder: KEY.npy and KEY.json, and KEY.safetensors where the network is kept.

    The JSON is written last: without it there is no entry.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, key: str) -> bool:
        """Return whether the prediction is there."""
        return self._description(key).is_file() and self._scores(key).is_file()

    def get(self, key: str) -> Prediction:
        """Return a finished prediction. Raises FindnaError if its files are damaged."""
        weights = self._weights(key)
        try:
            description = json.loads(self._description(key).read_text())
            scores = np.load(self._scores(key), allow_pickle=False)
            return Prediction(scores, description["chosen"], weights if weights.is_file() else None)
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise FindnaError(f"{self._scores(key)}: cannot be read ({error}); remove it, and it is computed again") from error

    def remove_without_weights(self, key: str) -> None:
        """Remove a prediction whose network was not kept, so that it is made again."""
        # The description goes first: without it there is no entry.
        if self.has(key) and not self._weights(key).is_file():
            self._description(key).unlink()
            self._scores(key).unlink()

    def remove_weights(self, key: str) -> None:
        """Remove the network that was kept with a prediction; the prediction stays."""
        self._weights(key).unlink(missing_ok=True)

    def get_or_make(self, identity: Mapping[str, Any], make: Callable[[Path], Prediction]) -> Prediction:
        """Return the cached prediction, or the result of `make`; one process at a time computes it.

        `make` receives a scratch folder for checkpoints; it survives interruption, and is removed once the prediction is
        stored. Raises OutputExists if the folder cannot be written to.
        """
        key = cache_key(identity)
        # Two `evaluate` calls on one run must not compute the same prediction at the same time.
        lock = FileLock(self.folder / f".{key}.lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            acquired = lock.acquire()
        except OSError as error:
            raise OutputExists(f"{self.folder}: cannot be written to: {error.strerror}; predictions are kept there") from error
        with acquired:
            # Another process may have finished it while this one waited for the lock.
            if not self.has(key):
                unfinished = self.folder / f"{key}.unfinished"
                self._store(key, identity, make(unfinished))
                if unfinished.is_dir():
                    shutil.rmtree(unfinished)
            return self.get(key)

    def _store(self, key: str, identity: Mapping[str, Any], prediction: Prediction) -> None:
        """Write the files of an entry, the description last."""
        if prediction.weights is not None:
            prediction.weights.replace(self._weights(key))
        with atomic_write(self._scores(key)) as temporary, temporary.open("wb") as file:
            np.save(file, prediction.scores, allow_pickle=False)
        # Written last: a prediction counts as finished once its description exists.
        with atomic_write(self._description(key)) as temporary:
            temporary.write_text(json.dumps({"cell": dict(identity), "chosen": prediction.chosen}, indent=1) + "\n")

    def _scores(self, key: str) -> Path:
        """Return the path of the scores [n, K]."""
        return self.folder / f"{key}.npy"

    def _weights(self, key: str) -> Path:
        """Return the path of the network that made the scores."""
        return self.folder / f"{key}.safetensors"

    def _description(self, key: str) -> Path:
        """Return the path of the description, whose presence marks a finished entry."""
        return self.folder / f"{key}.json"

"""Predictions are kept when they are finished, made once, and never half."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from filelock import FileLock

from findna_kit.errors import FindnaError, OutputExists
from findna_kit.evaluation import Prediction, PredictionCache
from findna_kit.evaluation.cache import cache_key

IDENTITY = {"task": "a", "who": "encoder", "of": {"weights": "b", "layer": None}}


def prediction(value=0.5):
    return Prediction(np.full((3, 2), value, dtype=np.float32), {"C": 0.1, "converged": True})


def test_a_key_is_of_all_that_is_stated_in_any_order():
    assert cache_key(IDENTITY) == cache_key(dict(reversed(IDENTITY.items())))
    assert cache_key(IDENTITY) != cache_key({**IDENTITY, "seed": 1})
    assert cache_key(IDENTITY) != cache_key({**IDENTITY, "of": {"weights": "b", "layer": 1}})


def test_a_cell_is_made_once_and_read_from_then_on(tmp_path):
    cells, made = PredictionCache(tmp_path / "evaluation"), []

    def make(folder):
        made.append(folder)
        return prediction()

    first = cells.get_or_make(IDENTITY, make)
    again = PredictionCache(tmp_path / "evaluation").get_or_make(IDENTITY, lambda folder: pytest.fail("it is finished"))
    assert len(made) == 1
    assert (first.scores == again.scores).all()
    assert first.scores.dtype == np.float32
    assert first.chosen == again.chosen == prediction().chosen
    assert json.loads((cells.folder / f"{cache_key(IDENTITY)}.json").read_text())["cell"] == IDENTITY


@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_half_a_cell_is_none(tmp_path, suffix):
    cells, key = PredictionCache(tmp_path), cache_key(IDENTITY)
    cells.get_or_make(IDENTITY, lambda folder: prediction())
    (tmp_path / f"{key}{suffix}").unlink()
    assert not cells.has(key)
    assert (cells.get_or_make(IDENTITY, lambda folder: prediction(0.25)).scores == 0.25).all()


def test_what_fails_leaves_no_cell_and_keeps_what_was_begun(tmp_path):
    cells = PredictionCache(tmp_path)

    def killed(folder):
        folder.mkdir()
        (folder / "epoch").write_text("3")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cells.get_or_make(IDENTITY, killed)
    assert not cells.has(cache_key(IDENTITY))

    def goes_on(folder):
        assert (folder / "epoch").read_text() == "3"
        return prediction()

    cells.get_or_make(IDENTITY, goes_on)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy", ".json", ".lock"}


def test_damage_is_a_sentence(tmp_path):
    cells, key = PredictionCache(tmp_path), cache_key(IDENTITY)
    cells.get_or_make(IDENTITY, lambda folder: prediction())
    (tmp_path / f"{key}.npy").write_bytes(b"not numbers")
    with pytest.raises(FindnaError, match=r"cannot be read .*; remove it, and it is computed again"):
        cells.get(key)


@pytest.mark.parametrize("told", ["3", "[]", "{}"])
def test_a_description_of_another_shape_is_damage(tmp_path, told):
    cells, key = PredictionCache(tmp_path), cache_key(IDENTITY)
    cells.get_or_make(IDENTITY, lambda folder: prediction())
    (tmp_path / f"{key}.json").write_text(told)
    with pytest.raises(FindnaError, match="cannot be read"):
        cells.get(key)


def test_a_folder_that_cannot_be_is_a_sentence_and_the_lock_is_given_back(tmp_path):
    (tmp_path / "evaluation").write_text("a file")
    with pytest.raises(OutputExists, match="evaluation: cannot be written to: File exists"):
        PredictionCache(tmp_path / "evaluation").get_or_make(IDENTITY, lambda folder: prediction())
    cells = PredictionCache(tmp_path / "other")
    cells.get_or_make(IDENTITY, lambda folder: prediction())
    FileLock(tmp_path / "other" / f".{cache_key(IDENTITY)}.lock", timeout=0).acquire().lock.release()


def test_two_that_want_one_cell_make_it_once(tmp_path):
    made = []

    def make(folder):
        made.append(folder)
        return prediction()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: PredictionCache(tmp_path).get_or_make(IDENTITY, make), range(16)))
    assert len(made) == 1

"""What was stopped goes on bit for bit; the state of other arguments, and one that is damaged, is said and left behind."""

import os
import random
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from findna_kit import checkpoint
from tests.building import ROOT
from tests.evaluation.finetuning.cases import network, planted, shaken, tune, with_dropout

CASES = "tests.evaluation.finetuning.cases"


class Stopped(Exception):
    """What a test raises in the middle."""


def same(one, other):
    return np.array_equal(one.scores, other.scores) and one.chosen == other.chosen


def stop_after(epochs, said):
    def log(line):
        said.append(line)
        if f"epoch {epochs} of" in line:
            raise Stopped

    return log


def test_killed_and_resumed_equals_uninterrupted(tmp_path):
    """kill -9 in an epoch, at a moment that nobody chose."""
    whole = with_dropout(tmp_path / "whole", lambda line: None)
    process = subprocess.Popen(
        [sys.executable, "-m", CASES, str(tmp_path / "cut")], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    until = "epoch 3 of 8"
    assert any(until in line for line in process.stdout)
    time.sleep(random.Random().uniform(0, 0.2))
    process.kill()
    process.communicate()
    done = checkpoint.steps_saved(tmp_path / "cut")[-1]
    assert 3 <= done < 8, "it was to be killed in the middle"
    said = []
    assert same(with_dropout(tmp_path / "cut", said.append), whole)
    assert said[0] == f"planted: resumes after epoch {done} of 8"
    assert not list((tmp_path / "cut" / checkpoint.FOLDER).glob(".*")), "what a killed process left is removed"


@pytest.mark.parametrize("scope", ["full", "head"])
@pytest.mark.parametrize("epoch", [1, 2, 4])
def test_stopped_after_any_epoch_it_goes_on_to_the_same_digits(tmp_path, scope, epoch):
    task, how = planted(rows=(32, 16, 16)), {"scope": scope, "epochs": 4, "patience": None, "strand": "both"}
    whole = tune(network(), tmp_path / "whole", task, **how)
    with pytest.raises(Stopped):
        tune(network(), tmp_path / "cut", task, log=stop_after(epoch, []), **how)
    said = []
    assert same(tune(network(), tmp_path / "cut", task, log=said.append, **how), whole)
    assert len(said) == 1 + 4 - epoch
    for name in (checkpoint.MODEL, checkpoint.STATE):
        one, other = (checkpoint.path_of(tmp_path / where, 4) / name for where in ("whole", "cut"))
        assert one.read_bytes() == other.read_bytes()


def test_stopped_early_it_does_not_begin_again(tmp_path):
    noise = planted(rows=(32, 16, 16), noise=True)
    one = tune(network(), tmp_path, noise, epochs=60, patience=1)
    said = []
    assert same(tune(network(), tmp_path, noise, epochs=60, patience=1, log=said.append), one)
    assert said == [f"planted: resumes after epoch {one.chosen['epochs_run']} of 60"]


def other_weights():
    return shaken(network(), "other")


OTHERS = {
    "setting": lambda folder, log: tune(network(), folder, planted(), epochs=1, weight_decay=0.3, log=log),
    "seed": lambda folder, log: tune(network(), folder, planted(), epochs=1, seed=9, log=log),
    "rows": lambda folder, log: tune(network(), folder, planted(seed=1), epochs=1, log=log),
    "weights": lambda folder, log: tune(other_weights(), folder, planted(), epochs=1, log=log),
    "pooling": lambda folder, log: tune(network(), folder, planted(), epochs=1, pooling="class", log=log),
    "strand": lambda folder, log: tune(network(), folder, planted(), epochs=1, strand="both", log=log),
}


@pytest.mark.parametrize("what", OTHERS)
def test_the_state_of_other_arguments_is_left_behind(tmp_path, what):
    tune(network(), tmp_path / "used", planted(), epochs=1)
    said = []
    again = OTHERS[what](tmp_path / "used", said.append)
    assert said[0] == (
        f"{tmp_path / 'used'}: the saved state has other settings, samples, weights, device, torch version or number of"
        " threads; fine-tuning starts again"
    )
    assert same(again, OTHERS[what](tmp_path / "fresh", said.append))


def test_another_number_of_threads_begins_anew(tmp_path, monkeypatch):
    tune(network(), tmp_path, planted(), epochs=1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    said = []
    tune(network(), tmp_path, planted(), epochs=1, log=said.append)
    assert "starts again" in said[0]


@pytest.mark.parametrize("damage", ["cut", "gone", "another shape"])
def test_a_damaged_state_is_left_behind(tmp_path, damage):
    whole = tune(network(), tmp_path / "whole", planted(), epochs=3)
    with pytest.raises(Stopped):
        tune(network(), tmp_path / "cut", planted(), epochs=3, log=stop_after(2, []))
    file = checkpoint.path_of(tmp_path / "cut", 2) / checkpoint.STATE
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "gone":
        file.unlink()
    else:
        model, state, values = checkpoint.load(tmp_path / "cut", 2)
        shutil.rmtree(tmp_path / "cut")
        state = {**state, "best.head.weight": state["best.head.weight"][:1]}
        checkpoint.save(tmp_path / "cut", 2, model, state, values)
    said = []
    assert same(tune(network(), tmp_path / "cut", planted(), epochs=3, log=said.append), whole)
    assert said[0] == f"{tmp_path / 'cut'}: the saved state cannot be read; fine-tuning starts again"


def test_only_the_first_and_the_last_epoch_lie_in_the_folder(tmp_path):
    tune(network(), tmp_path, planted(rows=(16, 8, 8)), epochs=5, patience=None)
    assert checkpoint.steps_saved(tmp_path) == [1, 5]
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.FOLDER]

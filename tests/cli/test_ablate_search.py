"""`findna-kit ablate` of a study that searches first: trials, then cells with what was found, whatever ends it on the way."""

import json
import os
import signal
from functools import partial

import pytest

from tests.cli.test_ablate import Cell, ablate, files, started
from tests.study.executors.test_local import at_work, trained_some, until
from tests.study.test_search_space import LOSS, stated
from tests.study.writing import CUT, write_study

CHOICES = stated(trials=None, sampler="grid", space="{optimizer.weight_decay: {choices: [0.1, 0.2]}}")


class Trial:
    """Where a trial lies, for those who look for its process."""

    def __init__(self, out, number):
        self.folder = out / "search" / f"trial-{number}"
        self.run = self.folder / "run"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    study = write_study(folder, seeds=1, search=CHOICES)
    return study, folder / "out", ablate(study, folder / "out", "--jobs", 2)


def test_trials_come_first_and_every_cell_has_what_they_found(finished):
    _, out, (code, printed, said) = finished
    assert code == 0, said
    lines = said.splitlines()
    (found,) = [
        number for number, line in enumerate(lines) if line.startswith("search: every condition gets optimizer.weight_d")
    ]
    trials = [line for line in lines[:found] if line.startswith("search/trial-")]
    assert sorted(trials) == [f"search/trial-{number}: {state}" for number in (0, 1) for state in ("finished", "running")]
    assert [line for line in lines[:found] if line.startswith("cells/")] == []
    result = json.loads((out / "result.json").read_text())
    assert result["search"] == json.loads((out / "search" / "result.json").read_text())
    assert (result["search"]["metric"], result["study"]["search"]["seed"]) == (LOSS, 100)
    decay = result["search"]["values"]["optimizer.weight_decay"]
    for name in ("reference", "rate-high"):
        assert f"weight_decay: {decay}\n" in (Cell(out, f"{name}/seed-0").run / "recipe.yaml").read_text()
    words = f"Every condition has optimizer.weight_decay {decay}: the best of 2 trials by {LOSS} (lower is better), seed 100"
    for ending in ("md", "tex"):
        assert words in (out / f"result.{ending}").read_text()
    assert printed.splitlines()[-3].startswith(f"every condition has optimizer.weight_decay {decay}: the best of 2 trials")


def test_a_second_call_runs_nothing(finished):
    study, out, (_, printed, _) = finished
    before = files(out / "cells") | files(out / "search")
    code, again, said = ablate(study, out)
    assert (code, again, "running" in said) == (0, printed, False)
    after = files(out / "cells") | files(out / "search")
    assert {path for path in after if after[path] != before.get(path)} <= {out / "search" / "result.json"}


@pytest.mark.slow
def test_after_a_kill_in_a_trial_the_same_command_goes_on(tmp_path):
    seldom = CUT.replace("validate_every: 4", "validate_every: 60").replace("checkpoint_every: 3", "checkpoint_every: 10")
    study = write_study(tmp_path, search=CHOICES, seeds=1, budget="{steps: 60}", overrides=seldom)
    out = tmp_path / "out"
    process = started(study, out)
    second = Trial(out, 1)
    until(lambda: trained_some(second), seconds=200)
    process.kill()
    process.communicate()
    first = files(Trial(out, 0).run)
    code, _, said = ablate(study, out, "--jobs", 2)
    assert code == 0, said
    assert "search/trial-0: running" not in said
    assert files(Trial(out, 0).run) == first
    rows = [json.loads(line)["step"] for line in (second.run / "metrics.jsonl").read_text().splitlines()]
    assert rows == list(range(61)), "no step twice"


def test_a_trial_that_was_killed_leaves_the_study_unfinished(tmp_path):
    study, out = write_study(tmp_path, search=CHOICES, seeds=1, budget="{steps: 100000}"), tmp_path / "out"
    process = started(study, out, "--jobs", 2)
    for number in range(2):
        until(partial(trained_some, Trial(out, number)), seconds=200)
        os.kill(at_work(Trial(out, number)), signal.SIGKILL)
    printed, said = process.communicate(timeout=60)
    assert (process.returncode, printed) == (3, "")
    *trials, last = said.splitlines()[-3:]
    assert sorted(trials) == [f"search/trial-{one}: was ended by SIGKILL; the same command continues it" for one in range(2)]
    assert last == f"{out}: 2 missing"
    assert not (out / "cells").exists()


def test_what_is_missing_or_wrong_is_said_before_anything_is_written(tmp_path, monkeypatch):
    code, _, said = ablate(write_study(tmp_path, search=stated(metric="probe/mcc")), tmp_path / "out")
    assert (code, "probe/mcc: is a score on the test split; selecting on the test set makes its score optimistic" in said) == (
        2,
        True,
    )
    monkeypatch.setattr("findna_kit.errors.find_spec", lambda name: None)
    code, _, said = ablate(write_study(tmp_path, search=stated()), tmp_path / "out")
    assert (code, said) == (2, "a study's search needs optuna, which is not installed: pip install 'findna-kit[search]'\n")
    assert not (tmp_path / "out").exists()

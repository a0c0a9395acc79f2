"""Folders written by version 0.1 are read, resumed, scored, compared and reported as before.

tests/records/data/v0_1 was written by commit 7b38c91 (version 0.1.0) from the run.yaml and study.yaml next to the folders.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import findna_kit
from findna_kit import checkpoint
from findna_kit.records.comparison import compare
from findna_kit.records.evaluation_json import TaskResult, read_evaluation
from findna_kit.records.json_files import read_json
from findna_kit.records.listing import entries_below
from findna_kit.records.run_json import RunJson
from tests.installing import findna

FIXTURE = Path(__file__).parent / "data" / "v0_1"
EMBEDDING = [1.19374, 1.14548, 0.40980, -0.47920, -0.77171, 0.26848, 1.35711, -0.31715]
"""Of `ACGTACGTTTGACANNACGT`, computed by version 0.1.0."""


@pytest.fixture
def old(tmp_path):
    shutil.copytree(FIXTURE, tmp_path / "old")
    return tmp_path / "old"


@pytest.mark.parametrize("record", sorted(FIXTURE.rglob("run.json")), ids=lambda path: str(path.parent.relative_to(FIXTURE)))
def test_the_models_keep_every_byte(record):
    assert json.dumps(RunJson.model_validate(read_json(record, "")).to_json(), indent=1) + "\n" == record.read_text()
    results = record.parent / "evaluation.json"
    entries = {path: TaskResult.model_validate(entry).to_json() for path, entry in read_json(results, "").items()}
    assert json.dumps(entries, indent=1) + "\n" == results.read_text()


def test_runs_are_listed_with_their_scores(old):
    entries = {entry.run.relative_to(old).as_posix(): entry for entry in entries_below(old)}
    assert entries.keys() == {
        "run",
        *(f"study/cells/{condition}/seed-{seed}/run" for condition in ("reference", "masking-many") for seed in (0, 1)),
    }
    assert {entry.status for entry in entries.values()} == {"finished"}
    assert entries["run"].steps == 6
    assert {"coding/knn/mcc", "builtin/knn/mcc"} & {score.name for score in entries["run"].scores}


def test_a_model_embeds_as_it_did(old):
    model = findna_kit.load(old / "run", device="cpu")
    assert (model.branch, model.step, model.dim) == ("teacher", 6, 8)
    assert np.allclose(model.embed(["ACGTACGTTTGACANNACGT"])[0], EMBEDDING, atol=1e-4)


def test_a_run_is_resumed_from_its_checkpoint(old):
    run = old / "run"
    last = {name: load_file(run / "checkpoints" / "step-00000006" / f"{name}.safetensors") for name in ("model", "state")}
    shutil.rmtree(run / "checkpoints" / "step-00000006")
    code, _, err = findna("run", run / "recipe.yaml", "--resume", run, "--device", "cpu")
    assert code == 0, err
    assert checkpoint.steps_saved(run)[-1] == 6
    for name, tensors in last.items():
        resumed = load_file(run / "checkpoints" / "step-00000006" / f"{name}.safetensors")
        assert resumed.keys() == tensors.keys()
        # Another processor rounds otherwise.
        assert all(np.allclose(resumed[key], tensors[key], rtol=1e-3, atol=1e-5) for key in tensors)


AS_BEFORE = ("--pooling", "mean", "--strand", "forward", "--device", "cpu")
"""The options with which version 0.1 embedded sequences when nothing else was asked for."""


def test_cached_predictions_are_used_again_unless_their_protocol_was_corrected(old):
    before = json.loads((old / "run" / "evaluation.json").read_text())
    cells = {path.name: path.stat().st_mtime_ns for path in (old / "run" / "evaluation").iterdir()}
    code, out, err = findna("evaluate", old / "run", "builtin", "--protocol", "knn,probe", *AS_BEFORE)
    assert code == 0, err
    after = json.loads((old / "run" / "evaluation.json").read_text())
    for who in ("encoder", "random_init", "majority"):
        assert after["builtin"]["protocols"]["probe"][who] == before["builtin"]["protocols"]["probe"][who]
    assert "k-NN" in out
    made = [line.partition("builtin: ")[2] for line in err.splitlines() if "repeat" in line]
    assert sorted(made) == [f"knn, {who}, repeat 1" for who in ("encoder", "kmer", "one_hot", "random_init")]
    now = {path.name: path.stat().st_mtime_ns for path in (old / "run" / "evaluation").iterdir()}
    assert {name: now[name] for name in cells} == cells
    assert after["builtin"]["revision"] == 2
    code, _, err = findna("evaluate", old / "run", "builtin", "--protocol", "knn,probe", *AS_BEFORE)
    assert code == 0
    assert "nothing is computed" in err


def test_results_of_version_0_1_are_read_and_not_mixed_with_new_ones(old):
    before = read_evaluation(old / "run", "")["builtin"]
    assert before.revision == 1
    assert {"knn", "probe"} <= set(before.protocols)
    assert before.protocols["probe"].one_hot is None
    code, _, err = findna("evaluate", old / "run", "builtin", "--protocol", "probe", "--device", "cpu")
    assert code == 0, err
    assert set(read_evaluation(old / "run", "")["builtin"].protocols) == {"probe"}


def test_a_run_is_compared_with_a_cell(old):
    compared = compare([old / "run", old / "study" / "cells" / "reference" / "seed-0" / "run"])
    assert compared["recipes"]["steps"] == ["6", "2"]


def test_a_report_shows_run_and_study(old):
    code, _, err = findna("report", old / "run", old / "study", "--out", old / "page.html")
    assert code == 0, err
    page = (old / "page.html").read_text()
    assert "small_v0_1_study" in page and "masking-many" in page

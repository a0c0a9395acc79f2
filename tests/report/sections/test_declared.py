"""What a study declared: its search too, and what that came to."""

import json
import shutil

import pytest

from findna_kit.report.folders import read_folder
from findna_kit.report.page import read, render
from findna_kit.report.sections.declared import declared_section
from findna_kit.study.files import STUDY
from findna_kit.study.search import Searcher
from tests.report.reading import Page
from tests.study.test_search import NO_TOKENS, Runner, searcher, tpe
from tests.study.test_search_space import LOSS, stated

DECAY, RATE = "optimizer.weight_decay", "optimizer.learning_rate"


def declared(one: Searcher):
    """Its folder, with what `ablate` writes before the search."""
    one.folder.mkdir(parents=True, exist_ok=True)
    (one.folder / STUDY).write_text(one.loaded.study.model_dump_json())
    return one.folder


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A real search of three values, of which one ends in nan."""
    search = stated(trials=None, sampler="grid", space=f"{{{RATE}: {{choices: [0.002, 0.004, 1.0e+30]}}}}")
    factors = "{tokens: {two: {}, three: {class_tokens: 3}}}"
    one = searcher(tmp_path_factory.mktemp("searched"), search=search, factors=factors, overrides=NO_TOKENS)
    one.validated_cells()
    folder = declared(one)
    assert one.run(Runner()).result is not None
    return folder


def tables(folder):
    return {one.caption: one for one in declared_section("part", read_folder(folder, "study")).blocks if one.kind == "table"}


def test_a_search_says_what_it_chose_from_and_by_what(tmp_path):
    folder = declared(searcher(tmp_path, search=tpe()))
    facts = dict(tables(folder)["Hyperparameter search; every condition gets the best values"].rows)
    assert facts == {
        "metric": f"{LOSS} (lower is better)", "sampler": "tpe", "trials": "3", "seed": "100",
        DECAY: facts[DECAY],
    }  # fmt: skip
    space = json.loads((folder / STUDY).read_text())["search"]["space"][DECAY]
    assert f"from {space['low']:g} to {space['high']:g}" in facts[DECAY]
    assert facts[DECAY].endswith("logarithmic scale") == space["log"]


def test_every_trial_is_told_and_which_was_taken(searched):
    found = json.loads((searched / "search" / "result.json").read_text())
    table = tables(searched)["Trials of the search"]
    assert table.head == ["trial", RATE, LOSS, "state"]
    for number, (row, trial) in enumerate(zip(table.rows, found["trials"], strict=True)):
        value = "" if trial["value"] is None else f"{trial['value']:.6g}"
        assert row[:3] == [f"{number}", json.dumps(trial["values"][RATE]), value]
    states = [row[-1] for row in table.rows]
    assert [state == "finished, chosen" for state in states] == [number == found["best"] for number in range(3)]
    assert states[2].startswith("failed: exit code 3: ") and "nan" in states[2]
    facts = dict(tables(searched)["Hyperparameter search; every condition gets the best values"].rows)
    assert facts[RATE] == "one of 0.002, 0.004, 1e+30"


def test_a_search_that_is_not_done_says_how_far_it_is(searched, tmp_path):
    folder = shutil.copytree(searched, tmp_path / "cut")
    (folder / "search" / "result.json").unlink()
    kept = json.loads((folder / "search" / "trial-1" / "trial.json").read_text())
    begun = {name: kept[name] for name in ("number", "drawn", "values")}
    (folder / "search" / "trial-1" / "trial.json").write_text(json.dumps(begun))
    shutil.rmtree(folder / "search" / "trial-2")
    assert [row[-1] for row in tables(folder)["Trials of the search"].rows] == ["finished", "not finished"]
    shutil.rmtree(folder / "search")
    assert "Trials of the search" not in tables(folder)
    assert "No trial of the search has started." in Page(render(read([folder]))).words("p")


def test_a_study_without_a_search_says_nothing_of_one(study):
    assert [caption for caption in tables(study) if "search" in caption] == []

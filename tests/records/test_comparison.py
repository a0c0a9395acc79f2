"""Runs side by side."""

import json

import pytest

from findna_kit.errors import FindnaError
from findna_kit.records.comparison import ONE_TRAINING, compare
from tests.records.copies import copied, look, real_run


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return real_run(tmp_path_factory.mktemp("other"), "optimizer.learning_rate=0.01", "seed=8")


def test_what_differs_and_what_came_out(run, other):
    found = compare([run, other])
    assert found["runs"] == [str(run), str(other)]
    assert found["recipes"]["seed"] == ["7", "8"]
    assert found["recipes"]["optimizer.learning_rate"] == [None, "0.01"]
    assert "steps" not in found["recipes"]
    assert found["versions"] == {}
    rows = [json.loads((one / "metrics.jsonl").read_text().splitlines()[-1]) for one in (run, other)]
    assert found["metrics"]["held_out/masked/loss"] == [row["held_out/masked/loss"] for row in rows]
    assert found["step"] == [6, 6]
    who = [(row["protocol"], row["score"], row["who"]) for row in found["scores"] if row["values"][0]]
    assert who == [("knn", "mcc", who) for who in ("encoder", "random_init", "kmer", "majority")]
    (task,) = json.loads((run / "evaluation.json").read_text()).values()
    encoder = task["protocols"]["knn"]["encoder"]["mcc"]
    assert found["scores"][0]["values"][0] == {end: encoder[end] for end in ("value", "low", "high")}
    assert found["scores"][0]["values"][1] is None, "scored on a task that lies elsewhere"
    assert found["remarks"] == [ONE_TRAINING]


def test_versions_genomes_and_what_auto_became(run, tmp_path):
    told = json.loads((run / "run.json").read_text())
    genome = [{**told["genomes"][0], "digest": "of another"}]
    changed = {"versions": {**told["versions"], "torch": "0.1"}, "genomes": genome, "components": {"loss": {"x": "lab 1"}}}
    resolved = {**told["resolved"], "threads": 99, "torch": "0.1"}
    found = compare([run, copied(run, tmp_path / "b", resolved=resolved, **changed)])
    assert found["versions"]["torch"] == [told["versions"]["torch"], "0.1"]
    assert found["versions"]["threads"] == [str(told["resolved"]["threads"]), "99"]
    assert found["versions"]["loss x"] == [None, "lab 1"]
    assert found["genomes"][1] == ["of another"]
    assert found["remarks"][0].startswith("the genomes differ: validation metrics are of different windows")


def test_metrics_are_the_newest_of_each_name(run, tmp_path):
    rows = [look(0, masked=9.0), look(4, masked=1.5), {"step": 5, "loss": 2.0}, {"step": 6, "loss": 1.0}]
    found = compare([run, copied(run, tmp_path / "b", rows)])["metrics"]
    assert (found["held_out/masked/loss"][1], found["loss"][1], "step" in found) == (1.5, 1.0, False)


def test_scores_that_are_not_of_one_thing_are_said(run, tmp_path):
    text = (run / "evaluation.json").read_text()
    (task,) = json.loads(text)
    other = copied(run, tmp_path / "b", evaluation=text.replace('"pooling": "mean_std"', '"pooling": "class"'))
    assert compare([run, other])["remarks"][0] == (
        f"{task}: the scores are not comparable, pooling differ; evaluate both runs alike"
    )


def test_what_a_study_says_of_two_of_its_conditions(run, tmp_path):
    cells = [copied(run, tmp_path / "cells" / name / "seed-0" / "run") for name in ("reference", "rate-high", "rate-low")]
    effect = {"overall": {"value": 0.1, "low": 0.05, "high": 0.15}, "adjusted": 0.01, "verdict": "better", "seeds": 8}
    assert compare(cells)["remarks"] == [ONE_TRAINING], "the study is not finished"
    conditions = {"reference": {}, "rate-high": {"effect": effect}, "rate-low": {"effect": effect}}
    (tmp_path / "result.json").write_text(json.dumps({"conditions": conditions}))
    found = compare(cells[:2])
    study = {"study": str(tmp_path), "condition": "rate-high", "minus": "reference"}
    assert (found["differences"], found["remarks"]) == ([{**study, **effect}], [])
    assert compare(cells[1:])["differences"] == [], "no study compares these two"
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(FindnaError, match=r"result.json: unexpected content; call ablate again"):
        compare(cells)


def test_what_is_refused(run, tmp_path):
    with pytest.raises(FindnaError, match="compare needs two runs or more"):
        compare([run])
    with pytest.raises(FindnaError, match="a run is given twice; give each once"):
        compare([run, run.parent / "." / "run"])
    with pytest.raises(FindnaError, match=r"is not a run folder: it has no run.json"):
        compare([run, tmp_path])
    bad = copied(run, tmp_path / "bad", [{"loss": 1}])
    with pytest.raises(FindnaError, match=r"metrics.jsonl: line 1 is not a row"):
        compare([run, bad])
    (copied(run, tmp_path / "worse") / "recipe.yaml").write_text("{")
    with pytest.raises(FindnaError, match=r"recipe.yaml:1:\d+"):
        compare([run, tmp_path / "worse"])
    (tmp_path / "worse" / "recipe.yaml").unlink()
    with pytest.raises(FindnaError, match=r"recipe.yaml  cannot be read"):
        compare([run, tmp_path / "worse"])

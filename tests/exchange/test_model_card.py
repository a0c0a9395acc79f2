"""The model card: data, recipe, scores beside their controls, limits, and a licence that is the author's to state."""

import json
import re
import shutil

import pytest

import findna_kit
from findna_kit.exchange.model_card import model_card
from findna_kit.runs import RunLocation, start
from tests.building import small
from tests.records.documents import task_result


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe, components, plugins = small("self_distill", "steps=3")
    folder = tmp_path_factory.mktemp("runs") / "run"
    start(recipe, RunLocation(folder), components=components, plugins=plugins, device="cpu")
    return folder


@pytest.fixture(scope="module")
def model(run):
    return findna_kit.load(run)


@pytest.fixture
def card(run, model, tmp_path):
    """The card where evaluation.json holds `content`; None: where there is none."""

    def card(content=None, **graph):
        folder = tmp_path / "run"
        shutil.copytree(run, folder, ignore=shutil.ignore_patterns("evaluation.json"))
        if content is not None:
            (folder / "evaluation.json").write_text(content if isinstance(content, str) else json.dumps(content))
        return model_card(folder, tmp_path / "my-model", model, graph=graph.get("graph", False))

    return card


def part(text, title):
    return re.search(rf"^## {title}\n\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)[1]


def scored(mcc, seeds=1):
    names = ("accuracy", "mcc", "macro_f1", "auroc", "auprc")
    return {"chosen": [{"C": 0.1}] * seeds, "seeds": seeds, **{name: interval(mcc) for name in names}}


def interval(value):
    return {"value": value, "low": value - 0.05, "high": value + 0.05}


def result(**more):
    """As evaluation.json has it, in short; the test with a real one is in tests/cli/test_exchange.py."""
    minus = {"kmer": {"mcc": {**interval(-0.1), "verdict": "below"}}}
    leakage = {"test_rows": 16, "share": 0.01, "dropped": 16, "conflicting_sequences": 0, "trained_on": []}
    return task_result(
        {"probe": {"encoder": scored(0.6, 3), "kmer": scored(0.7), "encoder_minus": minus}},
        **{"sizes": {"train": 7282, "test": 1590}, "notes": ["dev is train's"], "leakage": leakage, "strand": "both", **more},
    )


def test_its_parts_are_all_there(card):
    text = card()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Use", "Data", "Recipe", "Scores", "Limits", "Licence"]
    assert text.startswith("---\nlibrary_name: findna-kit\n")
    assert text.splitlines()[3].startswith("# license: not stated")
    assert 'findna_kit.load("my-model")' in part(text, "Use")
    assert "| builtin (D. melanogaster, dm3, chr2R:2,000,000-7,000,000) | 5,000,000 |" in part(text, "Data")
    recipe = part(text, "Recipe")
    for said in ("`chordmixer` (dim 22", "`self_distillation` (", "`ema` (", "3 steps of 8 windows"):
        assert said in recipe, recipe
    assert "It was trained on windows of 64 nucleotides" in part(text, "Limits")
    assert "fill it in before you publish this folder" in part(text, "Licence")


def test_the_example_in_it_runs(card, run, model, tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", card(), re.DOTALL)[1]
    (tmp_path / "my-model").symlink_to(run)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert names["embeddings"].shape == (2, model.dim)


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_scores_stand_beside_their_controls_with_intervals(card):
    scores = part(card({"builtin": result()}), "Scores")
    assert scores.startswith("### coding\n\ntrain 7,282, test 1,590; pooling mean, strand both; in brackets 95 % intervals.\n")
    head, _, *rows = cells(scores)
    of = [{name: row[head.index(name)] for name in ("features", "seeds", "MCC")} for row in rows]
    assert of == [
        {"features": "encoder", "seeds": "3", "MCC": "0.600 [0.550, 0.650]"},
        {"features": "k-mer logistic regression", "seeds": "1", "MCC": "0.700 [0.650, 0.750]"},
    ]
    assert rows[1][-1] == "below (-0.100 [-0.150, -0.050])"
    assert "- dev is train's\n- leakage: 16 of the test samples (1.0%)" in scores
    assert "; 16 were left out here" in scores


def test_scores_of_another_branch_or_step_are_counted_and_not_shown(card):
    told = {"one": result(branch="student"), "two": result(step=0), "three": result()}
    scores = part(card(told), "Scores")
    assert scores.count("###") == 1
    assert "of another branch or step, not shown: 2." in scores


@pytest.mark.parametrize("content", [
    "not json", "[]", "3", '{"builtin": 1}', '{"builtin": {"task": "coding"}}', '{"b": {"task": "c", "protocols": []}}',
    '{"b": {"task": "c", "protocols": {"knn": {"encoder": {"mcc": 0.5}}}}}', '{"b": {"task": "c", "protocols": {}}}',
    '{"b": {"task": "c", "protocols": {"knn": {"encoder": {"mcc": {"value": "x", "low": 0, "high": 1}}}}}}',
])  # fmt: skip
def test_a_form_that_is_not_known_is_pointed_at(card, content):
    assert part(card(content), "Scores").startswith("They are in `evaluation.json`")


def test_no_score_is_said(card):
    assert part(card(), "Scores").startswith("None: the run was not evaluated.")


def test_no_score_in_the_file_is_said_too(card):
    assert part(card({}), "Scores").startswith("None: the run was not evaluated.")


def test_a_column_is_not_broken_by_what_stands_in_it(card):
    told = result()
    told["protocols"]["probe"]["kmer"]["chosen"] = [{"k": "a|b"}]
    assert "k=a\\|b" in part(card({"builtin": told}), "Scores")


def test_a_graphs_card_tells_its_inputs(card):
    use = part(card(graph=True), "Use")
    for said in ("`bases` (float32 [batch, length, 5]", "`valid` (bool", "`mean`", "`class`", "float32 [batch, 22]"):
        assert said in use

"""A study's file: every problem on its line, and the conditions of every design."""

import os
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from findna_kit.errors import RecipeError
from findna_kit.evaluation.scores import SCORES
from findna_kit.study.load import load_study
from findna_kit.study.schema import Study
from tests.study.writing import RATES, write_study

PLAIN = {"name": "a", "recipe": "masked_only", "seeds": 2, "tasks": ("builtin",), "metric": "knn/mcc"}
KEYS = ["name", "recipe", "overrides", "factors", "seeds", "budget", "tasks", "metric"]


def study(levels, **keys):
    """A study whose factors have so many levels, which each state something of their own."""
    factors = {factor: {one: {f"{factor}.{one}": 1} for one in "abcdefgh"[:number]} for factor, number in levels.items()}
    return Study(**{**PLAIN, "factors": factors, **keys})


def refused(path):
    with pytest.raises(RecipeError) as error:
        load_study(str(path))
    return [str(problem).removeprefix(f"{path}:") for problem in error.value.problems]


@pytest.mark.parametrize(("keys", "at", "sentence"), [
    ({"metrics": "knn/mcc"}, "9:1", "metrics: unknown key; did you mean 'metric'?"),
    ({"metric": "knn/mc"}, "8:9", "metric: must be protocol/score, with one of the scores accuracy, mcc, macro_f1, auroc"),
    ({"metric": "probes/mcc"}, "8:9", "of the protocols knn, probe, finetune; did you mean 'probe'? (got 'probes/mcc')"),
    ({"metric": "few_shot/mcc"}, "8:9", "few_shot has a score for each number of shots, so a study cannot be judged by it"),
    ({"metric": "few_shot_5/mcc"}, "8:9", "few_shot has a score for each number of shots"),
    ({"metric": "mcc"}, "8:9", "must be protocol/score, with one of the protocols"),
    ({"metric": None}, "1:1", "metric: missing; it is required"),
    ({"factors": "{}"}, "4:10", "factors: expected at least 1 item"),
    ({"factors": "{one: {alone: {}}}"}, "4:11", "factors.one: a factor needs a reference and at least one other level"),
    ({"factors": "{one: {a: {}, b: 3}}"}, "4:27", "factors.one.b: expected a map (got 3)"),
    ({"factors": "{One: {a: {}, b: {}}}"}, "4:11", "factors.One: a label is made of lower-case letters, digits and _"),
    ({"factors": "{one: {a: {}, b c: {}}}"}, "4:24", "factors.one.b c: a label is made of lower-case letters"),
    ({"factors": "{one: {a: {}, b: {seed: 4}}}"}, "4:28", "factors.one.b.seed: the study's `seeds` set it"),
    ({"factors": "{one: {a: {}, b: {evaluation.seeds: 4}}}"}, "4:28", "the study's `tasks` and `metric` set it"),
    ({"factors": "{one: {a: {}, b: {name: x}}}"}, "4:28", "each run is named after its condition; leave it out"),
    ({"overrides": "{base: x}"}, "3:13", "overrides.base: a base belongs in the recipe's file; leave it out"),
    ({"overrides": "{steps: 9}"}, "1:1", "steps are set by the budget and by a level or the overrides"),
    ({"factors": "{one: {a: {}, b: {steps: 9}}}"}, "1:1", "steps are set by the budget and by a level or the overrides"),
    ({"seeds": "[1, 2, 1]"}, "5:8", "seeds: 1 is listed twice; list it once"),
    ({"seeds": "0"}, "5:8", "seeds: must be greater than 0 (got 0)"),
    ({"seeds": "[-1]"}, "5:9", "seeds.0: must be at least 0 (got -1)"),
    ({"seeds": "many"}, "5:8", "seeds: expected a whole number or a list (got 'many')"),
    ({"tasks": "[builtin, builtin]"}, "7:8", "tasks: builtin is listed twice; list it once"),
    ({"tasks": "[]"}, "7:8", "tasks: expected at least 1 item"),
    ({"budget": "{}"}, "6:9", "budget: give exactly one of steps, tokens, flops, seconds"),
    ({"budget": "{steps: 2, tokens: 9}"}, "6:9", "budget: give exactly one of steps, tokens, flops, seconds"),
    ({"budget": "{seconds: 2, flops: 9}"}, "6:9", "budget: give exactly one of steps, tokens, flops, seconds"),
    ({"budget": "{hours: 2}"}, "6:10", "budget.hours: unknown key (known: steps, tokens, flops, seconds)"),
    ({"budget": "{seconds: 0}"}, "6:19", "budget.seconds: must be greater than 0 (got 0)"),
    ({"budget": "{flops: -1.0e+9}"}, "6:17", "budget.flops: must be greater than 0"),
    ({"budget": "{flops: many}"}, "6:17", "budget.flops: "),
    ({"name": "a/b"}, "1:7", "name: must match"),
    ({"design": "factorials"}, "9:9", "design: expected 'one_at_a_time', 'leave_one_out' or 'factorial' (got 'factorials')"),
    ({"recipe": "masked_onyl"}, "2:9", "no shipped recipe has that name; did you mean 'masked_only'?"),
    ({"recipe": "study.yaml"}, "2:9", "recipe: circular: must name a recipe, and this is the study itself"),
    ({"recipe": "task"}, "2:9", "recipe: this is a folder, not a recipe"),
    ({"correction": "bonferroni"}, "9:13", "correction: expected 'holm' or 'benjamini_hochberg'"),
    ({"name": "!!python/object:os.system x"}, "1:7", "name: YAML tags are refused"),
])  # fmt: skip
def test_what_is_wrong_stands_on_its_line(tmp_path, keys, at, sentence):
    (problem,) = refused(write_study(tmp_path, **keys))
    assert problem.startswith(f"{at}  ")
    assert sentence in problem


def test_every_problem_at_once(tmp_path):
    factors = "{one: {a: {}}, two: {a: {seed: 1}, b: {name: x}}}"
    path = write_study(tmp_path, metric="knn/mc", seeds="[1, 1]", factors=factors)
    assert [line.partition("  ")[0] for line in refused(path)] == ["4:11", "4:35", "4:49", "5:8", "8:9"]


@pytest.mark.parametrize(("text", "sentence"), [
    ("- a\n", "a study must be a map of keys"), ("", "empty"), ("a: [\n", "not valid YAML"), ("a: 1\na: 2\n", "a: "),
])  # fmt: skip
def test_what_is_no_study_is_a_sentence(tmp_path, text, sentence):
    (tmp_path / "study.yaml").write_text(text)
    assert any(sentence in problem for problem in refused(tmp_path / "study.yaml"))


def test_a_study_that_is_not_there_names_the_shipped_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=r"did you mean 'ablations/objectives'\?.*ablations/centring"):
        load_study("ablations/objective")
    with pytest.raises(RecipeError, match="no such file"):
        load_study("x" * 300)


def test_paths_start_from_the_studys_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path / "here", recipe="mine.yaml", tasks="[task, builtin]")
    (tmp_path / "here" / "mine.yaml").write_text("base: masked_only\n")
    stated = load_study("here/study.yaml")
    assert stated.study.recipe == str(tmp_path / "here" / "mine.yaml")
    assert stated.study.tasks == (str(tmp_path / "here" / "task"), "builtin")
    monkeypatch.chdir("here")
    assert load_study("study.yaml").study == stated.study, "from wherever it is called"


def test_what_a_study_leaves_out(tmp_path):
    found = load_study(str(write_study(tmp_path, overrides=None, budget=None))).study
    assert (found.overrides, found.budget, found.design, found.correction) == ({}, None, "one_at_a_time", "holm")
    assert os.path.isabs(found.recipe), "a shipped one too"


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("protocol", ["knn", "probe", "finetune"])
def test_a_metric_is_a_protocol_and_a_score(protocol, score):
    found = study({"one": 2}, metric=f"{protocol}/{score}")
    assert (found.protocol, found.score) == (protocol, score)


def test_seeds_are_counted_from_0_or_named():
    assert study({"one": 2}, seeds=3).every_seed == (0, 1, 2)
    assert study({"one": 2}, seeds=(7, 3)).every_seed == (7, 3)


def test_steps_of_a_level_may_differ_where_no_budget_makes_them_equal():
    levels = {"one": {"a": {}, "b": {"steps": 9}, "c": {"steps": 0}}}
    assert study({}, factors=levels).budget is None
    assert study({}, factors={"one": {"a": {}, "c": {"steps": 0}}}, budget={"steps": 3}).budget.steps == 3


def test_each_other_level_alone():
    found = study({"x": 3, "y": 2}).conditions()
    assert found == {
        "reference": {"x": "a", "y": "a"}, "x-b": {"x": "b", "y": "a"}, "x-c": {"x": "c", "y": "a"},
        "y-b": {"x": "a", "y": "b"},
    }  # fmt: skip
    assert next(iter(found)) == "reference"


def test_from_the_whole_each_factor_put_back():
    found = study({"x": 3, "y": 2}, design="leave_one_out").conditions()
    assert found == {"whole": {"x": "c", "y": "b"}, "x-a": {"x": "a", "y": "b"}, "y-a": {"x": "c", "y": "a"}}
    assert next(iter(found)) == "whole"


def test_every_combination():
    found = study({"x": 2, "y": 2}, design="factorial").conditions()
    assert list(found) == ["reference", "y-b", "x-b", "x-b+y-b"]
    assert found["x-b+y-b"] == {"x": "b", "y": "b"}


@given(st.dictionaries(st.sampled_from("uvwxyz"), st.integers(2, 5), min_size=1, max_size=4))
def test_conditions_have_a_name_each_and_no_levels_twice(levels):
    counts = {
        "one_at_a_time": 1 + sum(number - 1 for number in levels.values()), "leave_one_out": 1 + len(levels),
        "factorial": prod(levels.values()),
    }  # fmt: skip
    for design, count in counts.items():
        found = study(levels, design=design).conditions()
        assert len(found) == len({tuple(one.items()) for one in found.values()}) == count


def test_a_name_that_no_folder_takes_is_refused(tmp_path):
    levels = [f"{'factor' * 9}_{number}: {{a: {{}}, b: {{x: {number}}}}}" for number in range(4)]
    long = ", ".join(levels)
    (problem,) = refused(write_study(tmp_path, factors=f"{{{long}}}", design="factorial"))
    assert "characters, at most 200 are allowed; shorten the labels" in problem


def test_where_each_level_states_it(tmp_path):
    path = write_study(tmp_path, factors="{one: {a: {}, b: {x.y: [1, null], z: {w: ä}}}}", overrides="{steps: 0}")
    assert load_study(str(path)).locations == {
        '--set x.y=[1, null]': f"{path}:4:28", '--set z={"w": "ä"}': f"{path}:4:44", "--set steps=0": f"{path}:3:13",
    }  # fmt: skip


def test_the_studies_of_these_tests_are_good(tmp_path):
    assert load_study(str(write_study(tmp_path))).study.conditions().keys() == {"reference", "rate-high"}
    assert RATES in (tmp_path / "study.yaml").read_text()

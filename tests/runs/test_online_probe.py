"""`evaluation.every`: scores in the metrics while a run goes on, and not a bit of training changed by them."""

import json

import pytest

from findna_kit import checkpoint
from findna_kit.errors import RecipeError
from findna_kit.runs import RunLocation, start
from tests.building import small
from tests.runs.test_evaluate import write_task

SIZES = ("steps=6", "encoder.dropout=0.1", "trainer.checkpoint_every=2", "trainer.keep_last=9")


def trained(folder, *overrides, resume=False):
    recipe, components, plugins = small("self_distill", *SIZES, *overrides)
    place = RunLocation(resume=folder) if resume else RunLocation(out=folder)
    return start(recipe, place, components=components, plugins=plugins, device="cpu")


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def probed_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    task = write_task(folder / "toy")
    trained(folder / "run", f"evaluation.tasks=[{task}]", "evaluation.every=4")
    return folder


def test_scores_are_logged_at_the_chosen_steps_with_their_control(probed_run):
    found = {row["step"]: sorted(name for name in row if name.startswith("evaluation/")) for row in rows_of(probed_run / "run")}
    names = [f"evaluation/toy/{protocol}/mcc{who}" for protocol in ("knn", "probe") for who in ("", "/kmer")]
    assert {step: there for step, there in found.items() if there} == {0: names, 4: names, 6: names}


def test_training_is_the_same_bit_for_bit(probed_run, tmp_path):
    trained(tmp_path / "plain")
    for step in checkpoint.steps_saved(tmp_path / "plain"):
        plain, probed = (checkpoint.load(folder, step) for folder in (tmp_path / "plain", probed_run / "run"))
        for one, other in zip(plain[:2], probed[:2], strict=True):
            assert one.keys() == other.keys()
            assert all(one[name].equal(other[name]) for name in one)
        assert plain[2] == probed[2], "no rule can have seen a score"


def test_the_student_is_scored_if_the_rule_exports_it(tmp_path):
    task = write_task(tmp_path / "toy")
    trained(
        tmp_path / "run", f"evaluation.tasks=[{task}]", "evaluation.every=3", "teacher_update={name: none}",
        "losses.distill=null", "views.shifted=null",
    )  # fmt: skip
    assert sum("evaluation/toy/probe/mcc" in row for row in rows_of(tmp_path / "run")) == 3


def test_tasks_of_one_name_have_scores_each_and_a_task_named_twice_is_one(tmp_path):
    first, second = write_task(tmp_path / "one" / "0"), write_task(tmp_path / "two" / "0", shift=1)
    trained(
        tmp_path / "run", f"evaluation.tasks=[{first}, {second}, {first}]", "evaluation.every=6", "evaluation.protocols=[knn]",
        "steps=1",
    )  # fmt: skip
    expected = [f"evaluation/{path}/knn/mcc{who}" for path in (first, second) for who in ("", "/kmer")]
    assert sorted(name for name in rows_of(tmp_path / "run")[0] if name.startswith("evaluation/")) == sorted(expected)


def test_every_without_a_task_is_refused():
    with pytest.raises(RecipeError, match="every scores tasks by knn and probe"):
        small("self_distill", "evaluation.every=4")

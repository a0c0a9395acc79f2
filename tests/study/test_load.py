"""Cells of a study: recipes with the levels in them, paired by seed, all of them read before anything is said."""

import json
import re

import pytest

from findna_kit.assemble import assemble
from findna_kit.errors import FindnaError, RecipeError
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe, shipped_recipes
from findna_kit.recipe.shipped import shipped_studies
from findna_kit.study.cells import CellFolder
from findna_kit.study.load import build_cells, load_study, task_names
from tests.building import small
from tests.evaluation.tasks.test_folders import gue
from tests.records.documents import protocol, task_result
from tests.study.writing import CUT, write_study

COMPONENTS = load_plugins()[0]


def cells(folder, check=lambda recipe: None, **keys):
    return build_cells(load_study(str(write_study(folder, **keys))), COMPONENTS, [], check)


def recipes(folder, **keys):
    """By condition, of the first seed."""
    return {cell.condition: cell.recipe for cell in reversed(cells(folder, **keys))}


def wrong(folder, **keys):
    with pytest.raises(FindnaError) as error:
        cells(folder, **keys)
    return str(error.value).splitlines()


def test_a_cell_is_the_recipe_with_its_level_its_seed_and_what_the_study_judges_by(tmp_path):
    found = {(cell.condition, cell.seed): cell for cell in cells(tmp_path, seeds="[5, 3]", metric="probe/auroc")}
    assert list(found) == [("reference", 5), ("reference", 3), ("rate-high", 5), ("rate-high", 3)]
    expected, _, _ = small(
        "masked_only", "optimizer.learning_rate=0.01", "seed=3", "steps=2", "name=rate-high",
        f"evaluation={{tasks: [{tmp_path / 'task'}], protocols: [probe]}}",
    )  # fmt: skip
    assert found["rate-high", 3].recipe == expected
    assert found["rate-high", 3].relative_path == "cells/rate-high/seed-3"


def test_conditions_of_a_seed_differ_in_their_level_alone(tmp_path):
    low, high = (recipe.plain() for recipe in recipes(tmp_path).values())
    assert {key for key in low if low[key] != high[key]} == {"name", "optimizer"}


def test_whole_components_are_swapped_and_dropped_and_the_last_level_of_a_name_counts(tmp_path):
    factors = """{encoder: {mixer: {}, conv: {encoder: {name: dilated_conv, dim: 16, hidden: 16, blocks: 1}}},
        objective: {both: {}, masked: {losses.distill: null, views.shifted: null}, none: {losses: {}, steps: 0}},
        noise: {with: {}, without: {views.masked.augment.1: null}}, rule: {ema: {}, frozen: {teacher_update: frozen}}}"""
    found = recipes(tmp_path, recipe="self_distill", factors=factors)
    reference = found["reference"]
    assert found["encoder-conv"].encoder.name == "dilated_conv"
    assert found["encoder-conv"].encoder.config.dim == 16
    assert reference.losses.keys() == {"masked", "distill"}
    assert (found["objective-masked"].losses.keys(), found["objective-masked"].views.keys()) == ({"masked"}, {"masked"})
    assert (found["objective-none"].losses, found["objective-none"].steps) == ({}, 0)
    assert [one.name for one in reference.views["masked"].augment] == ["reverse_complement", "noise"]
    assert [one.name for one in found["noise-without"].views["masked"].augment] == ["reverse_complement"]
    assert found["rule-frozen"].teacher_update.name == "frozen"


def test_a_factorial_has_the_levels_of_both(tmp_path):
    factors = (
        "{rate: {low: {}, high: {optimizer.learning_rate: 1.0e-05}}, mask: {some: {}, more: {views.masked.mask.fraction: 0.5}}}"
    )
    found = recipes(tmp_path, factors=factors, design="factorial")["rate-high+mask-more"]
    assert found.name == "rate-high.mask-more"
    assert found.optimizer.config.learning_rate.config.value == 1e-5
    assert found.views["masked"].mask.config.fraction == 0.5


def test_paths_in_a_level_start_from_the_studys_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    factors = "{genome: {fly: {}, mine: {data.genome: ä/mine.fa}}}"
    found = recipes(tmp_path / "here", factors=factors)["genome-mine"]
    assert found.data.files == {"genome": str(tmp_path / "here" / "ä" / "mine.fa")}


def test_shipped_tasks_keep_their_names_in_a_study(tmp_path):
    """As in a recipe, where no such file is."""
    stated = load_study(str(write_study(tmp_path, tasks="[builtin, gue/H3, task]")))
    assert stated.study.tasks == ("builtin", "gue/H3", str(tmp_path / "task"))


def test_a_task_that_is_no_path_is_refused_on_its_line(tmp_path):
    with pytest.raises(FindnaError, match=r"study.yaml:\d+:\d+  tasks"):
        load_study(str(write_study(tmp_path, tasks="[[task]]")))


@pytest.mark.parametrize(("budget", "steps"), [
    ("{steps: 7}", [7, 7, 0]), ("{tokens: 2000}", [3, 1, 0]), ("{tokens: 1024}", [2, 1, 0]), ("null", [600, 600, 0]),
])  # fmt: skip
def test_a_budget_is_turned_into_steps(tmp_path, budget, steps):
    factors = "{batch: {eight: {}, sixteen: {data.batch_size: 16}, none: {losses: {}, steps: 0}}}"
    found = recipes(tmp_path, factors=factors, budget=budget)
    assert [found[name].steps for name in ("reference", "batch-sixteen", "batch-none")] == steps
    for recipe in found.values():
        (tmp_path / "recipe.yaml").write_text(recipe.dump())
        assert load_recipe(tmp_path / "recipe.yaml", COMPONENTS) == recipe, "as a cell's process reads it"


def test_a_budget_of_less_than_a_step_is_refused(tmp_path):
    said = wrong(tmp_path, budget="{tokens: 500}")
    assert said[:2] == ["the condition reference:", "one step takes 512 nucleotides, more than the budget's 500 tokens"]


def test_a_broken_level_names_its_condition_and_stands_on_its_line(tmp_path):
    factors = """{rate: {low: {}, high: {optimizer.learning_rte: 1}, higher: {optimizer.learning_rate: fast}},
  mask: {some: {}, more: {views.masked.mask: independnt}, odd: {views.masked.mask.fraction.x: 3}}}"""
    said = wrong(tmp_path, factors=factors)
    path = tmp_path / "study.yaml"
    assert said[0] == "the condition rate-high:"
    assert said[1].startswith(f"{path}:4:34  optimizer.learning_rte: unknown key; did you mean 'learning_rate'?")
    assert said[2] == "the condition rate-higher:"
    assert said[3].startswith(f"{path}:4:71  optimizer.learning_rate: ")
    assert said[4] == "the condition mask-more:"
    assert said[5].startswith(f"{path}:5:27  views.masked.mask.name: ")
    assert "did you mean 'independent'?" in said[5]
    assert said[6] == "the condition mask-odd:"
    assert said[7].startswith(f"{path}:5:65  views.masked.mask.fraction.x: ")


def test_what_is_wrong_with_the_base_is_said_once(tmp_path):
    (tmp_path / "mine.yaml").write_text("base: self_distill\nstepz: 3\n")
    said = wrong(tmp_path, recipe="mine.yaml")
    assert said[0] == "the condition reference:"
    assert said[1].startswith(f"{tmp_path / 'mine.yaml'}:2:1  stepz: unknown key")
    assert len(said) == 2


def test_what_every_cell_shares_is_placed_too(tmp_path):
    (line,) = [line for line in wrong(tmp_path, overrides="{data.lenth: 64}") if "lenth" in line]
    assert line.startswith(f"{tmp_path / 'study.yaml'}:3:13  data.lenth: unknown key")


def test_two_conditions_that_are_one_recipe_are_refused(tmp_path):
    said = wrong(tmp_path, factors="{mask: {some: {}, same: {views.masked.mask.fraction: 0.3}}}")
    assert said == ["the condition mask-same:", "is the same recipe as the condition reference: there is nothing to compare"]


def test_each_condition_is_checked_once_and_what_is_refused_bears_its_name(tmp_path):
    asked = []

    def check(recipe):
        asked.append(recipe.name)
        if recipe.name == "rate-high":
            raise FindnaError("too fast")

    with pytest.raises(FindnaError, match=r"^the condition rate-high:\ntoo fast$"):
        cells(tmp_path, check, seeds=5)
    assert asked == ["reference", "rate-high"]


@pytest.mark.parametrize("name", shipped_studies())
def test_shipped_studies_are_good_and_small_and_can_say_something(name):
    stated, sizes = load_study(name), []

    def check(recipe):
        sizes.append(sum(one.numel() for one in assemble(recipe, device="meta").student.encoder.parameters()))

    found = build_cells(stated, COMPONENTS, [], check)
    assert stated.study.name == name.removeprefix("ablations/")
    assert (len(stated.study.every_seed), stated.study.tasks) == (8, ("builtin",))
    assert len(found) == 8 * len(stated.study.conditions()) <= 48
    assert max(sizes) < 1.05 * min(sizes), "about as many parameters in each condition"
    assert {cell.recipe.steps for cell in found} <= {200, 0}


@pytest.mark.parametrize("number", ["01", "1_000", "0x10", "+5"])
def test_a_number_that_may_be_text_is_refused_in_an_override(tmp_path, number):
    """The recipe's key decides whether 01 is a number or the name of a contig, and is read later."""
    for key in ("overrides", "factors"):
        stated = f"{{data.validation: {{contigs: [{number}]}}}}"
        value = stated if key == "overrides" else f"{{rate: {{low: {{}}, high: {stated}}}}}"
        with pytest.raises(
            RecipeError, match=re.escape(f"{number}: write {int(number, 0) if number != '01' else 1}, or put it")
        ):
            load_study(str(write_study(tmp_path, **{key: value})))
    load_study(str(write_study(tmp_path, overrides=f"{{data.validation: {{contigs: ['{number}']}}}}")))


def test_studies_are_no_recipes():
    assert {
        "ablations/objectives", "ablations/backbones", "ablations/teacher_rules", "ablations/augmentations",
        "ablations/mask_ratio", "ablations/class_tokens", "ablations/centring",
    } == shipped_studies().keys()  # fmt: skip
    assert not [name for name in shipped_recipes() if "ablation" in name]
    assert "optimizer" not in CUT, "what these tests cut is not what they compare"


def test_shipped_tasks_keep_their_names_and_their_data_are_found_by_the_variable(tmp_path, monkeypatch):
    gue(tmp_path / "GUE/tf/1")
    monkeypatch.setenv("FINDNA_KIT_TASKS", str(tmp_path))
    (reference, *_) = cells(tmp_path, tasks="[gue/tf_1, task]")
    assert reference.recipe.evaluation.tasks == ("gue/tf_1", str(tmp_path / "task"))
    assert task_names(["gue/tf_1", str(tmp_path / "task")]) == {"gue/tf_1": "gue/tf_1", str(tmp_path / "task"): "task"}
    folder = CellFolder(reference, tmp_path / "cell", {"gue/tf_1": "gue/tf_1"})
    record = {"status": "finished"}
    folder.run.mkdir(parents=True)
    (folder.run / "run.json").write_text(json.dumps(record))
    (folder.run / "evaluation.json").write_text(json.dumps({"gue/tf_1": task_result({"knn": protocol(0.5)})}))
    assert folder.state() == "finished", "its scores are found by that name"

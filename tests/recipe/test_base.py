"""A file over its base."""

from __future__ import annotations

import pytest

from findna_kit.recipe import load_recipe


def test_maps_merge_lists_replace_and_null_drops(over):
    recipe = over(
        "name: derived\ndata: {length: 128}\nseed: null\nlosses: {masked: null}\n"
        "views: {masked: {augment: [deletion], mask: null}}\n"
    )
    assert (recipe.name, recipe.seed, recipe.data.length, recipe.data.batch_size) == ("derived", 0, 128, 4)
    assert [one.config.maximum for one in recipe.views["masked"].augment] == [20]
    assert recipe.views["masked"].see == ("student",)
    assert recipe.views["masked"].mask is None
    assert list(recipe.losses) == ["distill"]


def test_null_over_a_base_stays_where_it_is_a_value(write, load, text):
    write(text + "optimizer: {clip_norm: 1}\n", "whole.yaml")
    assert load(text="base: whole.yaml\noptimizer: {clip_norm: null}\n").optimizer.clip_norm is None


@pytest.mark.parametrize("line", ["encoder: transformer", "encoder: {name: transformer}"])
def test_another_component_over_a_base_drops_and_says_so(over, line, dropped):
    recipe = over(line)
    assert (recipe.encoder.name, recipe.encoder.config.dim) == ("transformer", 8)
    assert dropped(recipe) == ["encoder: the parameters of 'chordmixer' are dropped: dim"]


def test_another_component_takes_its_own_parameters_over_a_base(over, dropped):
    recipe = over("encoder: {name: transformer, dim: 20}")
    assert recipe.encoder.config.dim == 20
    assert dropped(recipe) == []


def test_parameters_without_a_name_merge_into_the_component_of_the_base(over):
    assert over("teacher_update: {momentum: 0.5}").teacher_update.config.momentum.config.value == 0.5
    assert over("encoder: {blocks: 3}").encoder.config.dim == 12


def test_sets_go_over_file_and_base(over):
    assert over("steps: 5\n", "steps=6", "data.length=7").steps == 6
    assert over("steps: 5\n").steps == 5


def test_problems_stand_in_the_file_that_stated_them(write, problems, changed, tmp_path):
    write(changed("length: 64", "length: 0").replace("seed: 7", "seed: 7\nseed: 8"), "sub/whole.yaml")
    assert problems("class_tokens=x", text="base: sub/whole.yaml\nsteps: -1\n") == [
        "recipe.yaml:2:8  steps: must be at least 0 (got -1)",
        "sub/whole.yaml:3:1  seed: duplicate key, first written in line 2; keep one of them",
        "sub/whole.yaml:7:11  data.length: must be greater than 0 (got 0)",
        "--set class_tokens=x  class_tokens: expected a whole number (got 'x')",
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("batch_size: 4", "batch_size: x", "8:15  data.batch_size: expected a whole number (got 'x')"),
        ("batch_size: 4", "batch_siz: 4", "8:3  data.batch_siz: unknown key; did you mean 'batch_size'?"),
        ("fraction: 0.3", "share: 0.3", "13:31  views.masked.mask.share: unknown key (known: name, fraction)"),
        ("name: chordmixer", "name: chordmixr", "15:17  encoder.name: no encoder is called 'chordmixr'; did you mean"),
        ("insertion]", "inversio]", "12:45  views.masked.augment.1.name: no augmentation is called 'inversio'"),
        ("start: 0.9", "start: 5", "20:39  teacher_update.momentum"),
    ],
    ids=["value", "key", "parameter", "component", "name alone", "schedule"],
)
def test_a_problem_of_the_base_alone_stands_in_its_own_line_and_column(write, problems, changed, old, new, said):
    """One line lower in the file over it, so that no place could be right by chance."""
    write("# the base\n" + changed(old, new), "sub/whole.yaml")
    wrong = [line for line in problems(text="base: sub/whole.yaml\n") if "missing" not in line]
    assert len(wrong) == 1
    assert wrong[0].startswith(f"sub/whole.yaml:{said}")


def test_paths_of_a_base_start_from_its_own_folder(write, components, changed, tmp_path):
    write(changed("genome: builtin", "genome: a.fa"), "sub/whole.yaml")
    write("base: ../sub/whole.yaml\nevaluation: {tasks: [t]}\n", "own/r.yaml")
    recipe = load_recipe("own/r.yaml", components)
    assert recipe.data.genome == str(tmp_path / "sub" / "a.fa")
    assert recipe.evaluation.tasks == (str(tmp_path / "own" / "t"),)


def test_a_task_scored_on_its_validation_split_has_the_path_of_its_files(write, components, changed, tmp_path):
    write(changed("genome: builtin", "genome: builtin"), "sub/whole.yaml")
    write("base: ../sub/whole.yaml\nevaluation: {tasks: [t@validation, builtin@validation, gue/H3@validation]}\n", "own/r.yaml")
    recipe = load_recipe("own/r.yaml", components)
    assert recipe.evaluation.tasks == (
        str(tmp_path / "own" / "t@validation"), "builtin@validation", "gue/H3@validation",
    )  # fmt: skip


def test_what_was_read_is_noted(over, tmp_path):
    assert over("").notes == (f"recipe: the file {tmp_path / 'recipe.yaml'}", f"base: the file {tmp_path / 'whole.yaml'}")


def test_a_recipe_is_not_its_own_base(problems):
    assert problems(text="base: ./recipe.yaml\n") == ["recipe.yaml:1:7  base: circular: a recipe cannot be its own base"]


def test_a_circle_of_bases_is_said(write, problems):
    write("base: recipe.yaml\n", "b.yaml")
    assert problems(text="base: b.yaml\n") == ["b.yaml:1:7  base: circular: recipe.yaml -> b.yaml -> recipe.yaml"]


def test_a_base_that_names_itself_is_a_circle(write, problems):
    write("base: b.yaml\n", "b.yaml")
    assert problems(text="base: b.yaml\n") == ["b.yaml:1:7  base: circular: recipe.yaml -> b.yaml -> b.yaml"]


@pytest.mark.parametrize("further", ["whole.yaml", "nowhere.yaml", "3"])
def test_bases_make_no_chain(write, problems, text, further):
    write(text, "whole.yaml")
    write(f"base: {further}\n", "b.yaml")
    assert problems(text="base: b.yaml\n") == [
        "b.yaml:1:7  base: a base has no base of its own; state what it takes from there, or build on that one"
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("base: [a, b]", "1:7  base: expected the path or shipped name of one recipe (got a list)"),
        ("base:", "1:1  base: expected the path or shipped name of one recipe (got null)"),
        ("base: !x y", "1:7  base: YAML tags are refused (got !x); leave it out"),
        ("base: nowhere.yaml", "1:7  base: no such file, and no shipped recipe has that name"),
        ("base: .", "1:7  base: this is a folder, not a recipe"),
    ],
)
def test_a_base_that_cannot_be_read_ends_the_reading(problems, line, said):
    (problem,) = problems(text=f"{line}\nsteps: x\n")
    assert problem.startswith(f"recipe.yaml:{said}")


def test_a_base_with_a_syntax_error_is_said_beside_what_was_found_before(write, problems):
    write("a:\n\tb: 1", "b.yaml")
    assert problems(text="base: b.yaml\nseed: 1\nseed: 2\n") == [
        "recipe.yaml:3:1  seed: duplicate key, first written in line 2; keep one of them",
        "b.yaml:2:1  a tab; YAML is indented with spaces",
    ]


LINEAR = "linear: {start: 1, end: 0}"


def test_another_form_takes_the_place_of_the_one_in_the_base(over, write, load, changed, dropped):
    recipe = over(f"teacher_update: {{momentum: {{{LINEAR}}}}}")
    assert recipe.teacher_update.config.momentum.name == "linear"
    assert dropped(recipe) == ["teacher_update.momentum: linear takes the place of cosine"]
    write(changed("batch_size: 4", "batch_size: 4\n  validation: {share: 0.1}"), "share.yaml")
    recipe = load(text="base: share.yaml\ndata: {validation: {contigs: [a]}}")
    assert recipe.data.validation.given == ["contigs"]


def test_the_same_form_merges(over):
    ramp = over("teacher_update: {momentum: {cosine: {start: 0.5}}}").teacher_update.config.momentum.config
    assert (ramp.start, ramp.end) == (0.5, 1.0)


def test_two_forms_in_one_place_are_still_two(refused):
    (problem,) = refused("teacher_update: {momentum: {cosine: {start: 0.5}, linear: {start: 1, end: 1}}}")
    assert problem.endswith("teacher_update.momentum: expected exactly one of constant, cosine, linear, wsd")

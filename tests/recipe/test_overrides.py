# ruff: noqa: E501 - the rows of a table are read across
"""`--set`: what it changes, what it drops, what it refuses."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("given", "read", "value"),
    [
        ("steps=30", lambda recipe: recipe.steps, 30),
        (" steps = 30 ", lambda recipe: recipe.steps, 30),
        ("name=no", lambda recipe: recipe.name, "no"),
        ("optimizer.clip_norm=1e-3", lambda recipe: recipe.optimizer.clip_norm, 0.001),
        ("trainer.compile=true", lambda recipe: recipe.trainer.compile, True),
        ("views.masked.augment.0.maximum=5", lambda recipe: recipe.views["masked"].augment[0].config.maximum, 5),
        ("views.masked.augment.1.maximum=5", lambda recipe: recipe.views["masked"].augment[1].config.maximum, 5),
        ("views.shifted.augment.0=insertion", lambda recipe: recipe.views["shifted"].augment[0].name, "insertion"),
        ("views.shifted.augment=[]", lambda recipe: recipe.views["shifted"].augment, ()),
        ("views.third={see: [student]}", lambda recipe: list(recipe.views), ["masked", "shifted", "third"]),
        ("losses.more.name=masked_nucleotides", lambda recipe: list(recipe.losses), ["masked", "distill", "more"]),
        ("losses.masked.weight=3", lambda recipe: recipe.losses["masked"].weight.config.value, 3),
        ("evaluation.tasks=[builtin]", lambda recipe: recipe.evaluation.tasks, ("builtin",)),
        ("data.validation={contigs: ['a=b']}", lambda recipe: getattr(recipe.data.validation, "contigs", None), ("a=b",)),
    ],
)
def test_a_set_changes_what_it_names(load, given, read, value):
    assert read(load(given)) == value
    assert read(load()) != value


def test_sets_are_applied_in_order(load):
    assert load("steps=30", "steps=40", "trainer.keep_last=3", "trainer.log_every=2").steps == 40


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("steps", "expected KEY=VALUE, such as --set losses.distill.weight=0.5"),
        ("=3", "expected KEY=VALUE, such as --set losses.distill.weight=0.5"),
        ("a..b=3", "expected KEY=VALUE, such as --set losses.distill.weight=0.5"),
        ("steps=", "steps: no value; null drops a key"),
        ("steps=[1", "not valid YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'"),
        ("steps=#", "empty; a recipe is a map of keys"),
        ("steps=!x 1", "YAML tags are refused (got !x); leave it out"),
        ("base=other", "base: a base is stated in the recipe's file, not by --set"),
        ("seed.x=3", "seed.x: seed is 7, and has nothing below it"),
        ("views.masked.augment.2=deletion", "views.masked.augment.2: views.masked.augment is a list, and wants an index: 0 to 1 are there (got '2')"),
        ("views.masked.augment.-1=deletion", "views.masked.augment.-1: views.masked.augment is a list, and wants an index: 0 to 1 are there (got '-1')"),
        ("views.masked.augment.x.y=1", "views.masked.augment.x.y: views.masked.augment is a list, and wants an index: 0 to 1 are there (got 'x')"),
        ("views.masked.augment.²=1", "views.masked.augment.²: views.masked.augment is a list, and wants an index: 0 to 1 are there (got '²')"),
        ("stpes=3", "stpes: unknown key; did you mean 'steps'?"),
        ("batch_size=3", "batch_size: unknown key; did you mean 'data.batch_size'?"),
        ("validate_every=3", "validate_every: unknown key; did you mean 'trainer.validate_every'?"),
        ("trainer.keep_lst=3", "trainer.keep_lst: unknown key; did you mean 'keep_last'?"),
        ("losses.distil=null", "losses.distil: expected the name of a component, or a map with name and parameters (got null; null removes only a key that the recipe has)"),
    ],
)  # fmt: skip
def test_a_set_that_is_wrong_is_its_own_place(problems, given, said):
    (line,) = problems(given)
    where, _, sentence = line.partition("  ")
    assert where == f"--set {given}"
    assert sentence == said or (said.endswith("?") and sentence.startswith(said))


def test_an_empty_set_is_wrong(problems):
    assert problems("") == ["--set   expected KEY=VALUE, such as --set losses.distill.weight=0.5"]


def test_an_empty_list_has_no_index(problems):
    assert problems("views.masked.augment=[]", "views.masked.augment.0=deletion")[0].endswith("it is empty (got '0')")


def test_what_hangs_on_a_refused_value_is_not_said_again(problems, changed):
    text = changed("encoder: {name: chordmixer, dim: 12}", "encoder: !x {name: chordmixer, dim: 12}")
    assert problems("encoder.dim=16", text=text) == ["recipe.yaml:14:10  encoder: YAML tags are refused (got !x); leave it out"]


def test_a_name_alone_becomes_a_map_below_a_set(load, changed):
    recipe = load("encoder.dim=16", text=changed("encoder: {name: chordmixer, dim: 12}", "encoder: chordmixer"))
    assert (recipe.encoder.name, recipe.encoder.config.dim) == ("chordmixer", 16)


def test_a_section_without_a_value_becomes_a_map_below_a_set(load, text):
    assert load("trainer.keep_last=5", text=text + "trainer:\n").trainer.keep_last == 5


@pytest.mark.parametrize("given", ["encoder.name=transformer", "encoder=transformer", "encoder={name: transformer}"])
def test_another_component_drops_the_parameters_of_the_old_one(load, given, dropped):
    recipe = load(given)
    assert (recipe.encoder.name, recipe.encoder.config.dim) == ("transformer", 8)
    assert dropped(recipe) == ["encoder: the parameters of 'chordmixer' are dropped: dim"]


def test_the_same_name_again_keeps_the_parameters(load, dropped):
    recipe = load("encoder=chordmixer", "teacher_update.name=ema")
    assert recipe == load()
    assert dropped(recipe) == []


@pytest.mark.parametrize("sets", [("encoder.dim=16", "encoder=transformer"), ("encoder.name=transformer", "encoder.dim=16")])
def test_what_a_set_gave_outlives_the_change_of_name_in_either_order(load, sets):
    assert load(*sets).encoder.config.dim == 16


def test_a_label_keeps_its_weight_when_its_component_changes(load, dropped):
    recipe = load("losses.distill=masked_nucleotides")
    assert (recipe.losses["distill"].name, recipe.losses["distill"].weight.config.value) == ("masked_nucleotides", 0.5)
    assert dropped(recipe) == ["losses.distill: the parameters of 'self_distillation' are dropped: student_temperature"]


def test_a_name_by_set_for_an_item_of_a_list(load, dropped):
    recipe = load("views.masked.augment.0.name=insertion")
    assert (recipe.views["masked"].augment[0].name, recipe.views["masked"].augment[0].config.maximum) == ("insertion", 20)
    assert dropped(recipe) == ["views.masked.augment.0: the parameters of 'deletion' are dropped: maximum"]


def test_the_name_of_the_recipe_is_no_component(load, dropped):
    recipe = load("name=other")
    assert recipe.seed == 7
    assert dropped(recipe) == []


def test_null_drops_a_key(load):
    recipe = load(
        "losses.distill=null", "encoder.dim=null", "views.masked.mask=null", "data.batch_size=null", "data.batch_size=8"
    )
    assert list(recipe.losses) == ["masked"]
    assert recipe.encoder.config.dim == 8
    assert recipe.views["masked"].mask is None
    assert recipe.data.batch_size == 8


def test_null_stays_where_it_is_a_value(load, text):
    recipe = load("optimizer.clip_norm=null", "encoder.dropout=null", text=text + "optimizer: {clip_norm: 1}\n")
    assert recipe.optimizer.clip_norm is None
    assert recipe.encoder.config.dropout is None


def test_null_drops_items_of_a_list_by_the_indices_that_they_had(load, changed):
    text = changed(
        "augment: [{name: deletion, maximum: 3}, insertion]", "augment: [deletion, {name: deletion, maximum: 1}, insertion]"
    )
    recipe = load("views.masked.augment.0=null", "views.masked.augment.2=null", text=text)
    assert [one.config.maximum for one in recipe.views["masked"].augment] == [1]


def test_null_may_drop_an_unknown_key(load, text):
    assert load("foo=null", text=text + "foo: 1\n") == load()


LINEAR = "linear: {start: 1, end: 0}"


@pytest.mark.parametrize(
    "given", [f"teacher_update.momentum={{{LINEAR}}}", "teacher_update.momentum.linear={start: 1, end: 0}"]
)
def test_another_form_of_schedule_takes_the_place_of_the_old_one(load, given):
    momentum = load(given).teacher_update.config.momentum
    assert (momentum.name, momentum.config.end) == ("linear", 0)


def test_dropping_what_is_required_says_so(problems):
    assert problems("data.length=null") == ["recipe.yaml:4:1  data.length: missing; it is required"]

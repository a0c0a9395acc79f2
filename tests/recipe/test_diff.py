"""What keeps a run from being continued."""

from __future__ import annotations

import pytest

from findna_kit.recipe import diff, leaves


def test_equal_recipes_have_no_differences(load):
    assert diff(load(), load()) == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("encoder.dim=16", "encoder.dim: 12 -> 16"),
        ("trainer.micro_batch=8", "trainer.micro_batch: 'auto' -> 8"),
        ("trainer.validate_every=8", "trainer.validate_every: 100 -> 8"),
        ("optimizer.clip_norm=null", "optimizer.clip_norm: 0.5 -> null"),
        ("views.masked.mask=null", "views.masked.mask: not stated -> null"),
        ("losses.distill.weight={linear: {start: 1, end: 0}}", "losses.distill.weight.linear.start: not stated -> 1.0"),
        ("views.shifted.augment=[]", "views.shifted.augment: not stated -> []"),
        ("views.masked.augment.1=deletion", "views.masked.augment.1.name: 'insertion' -> 'deletion'"),
        ("losses.masked=null", "losses.masked.weight: 1.0 -> not stated"),
    ],
)
def test_a_difference_names_its_path_and_both_values(load, given, said):
    found = diff(load(), load(given))
    assert said in found.values()
    assert all(line.startswith(f"{path}: ") for path, line in found.items())
    assert diff(load(given), load()) != {}


def test_every_difference_is_listed_in_the_order_of_the_saved_recipe(load):
    wanted = load("class_tokens=3", "seed=1", "losses.distill.prototypes=32")
    lines = list(diff(load(), wanted).values())
    assert lines == ["seed: 7 -> 1", "class_tokens: 2 -> 3", "losses.distill.prototypes: 16 -> 32"]


@pytest.mark.parametrize("given", ["keep_last=3", "log_every=3", "checkpoint_every=3", "devices=3", "nodes=3"])
def test_what_may_change_between_the_halves_of_a_run_is_no_difference(load, given):
    wanted = load(f"trainer.{given}")
    assert wanted != load()
    assert diff(load(), wanted) == {}


def test_everything_that_a_tree_states_is_by_its_path():
    tree = {"a": {"b": [1, {"c": None}], "d": {}}, "e": "word", "f": []}
    assert dict(leaves(tree)) == {"a.b.0": "1", "a.b.1.c": "null", "a.d": "{}", "e": "'word'", "f": "[]"}

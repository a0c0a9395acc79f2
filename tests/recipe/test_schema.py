"""The resolved recipe: complete, frozen, and the same when it is read again."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from findna_kit.recipe import load_recipe
from findna_kit.recipe.yaml_nodes import dump


def test_the_dump_states_every_default_and_every_path_absolute(load, tmp_path):
    dumped = load("data.genome=a.fa", "data.validation={share: 0.2}").dump()
    lines = dumped.splitlines()
    assert lines[:3] == ["name: small", "seed: 7", "steps: 20"]
    assert f"  genome: {tmp_path / 'a.fa'}" in lines
    assert "  max_unknown: 0.1" in lines
    assert "    share: 0.2" in lines
    assert "  keep_last: 2" in lines
    assert "  dropout: 0.1" in lines
    assert "    prototypes: 16" in lines
    assert "    weight: 0.5" in lines
    assert "      warmup: 0.0" in lines
    assert "notes" not in dumped


def test_the_dump_keeps_the_order_of_the_keys(load):
    keys = [line.split(":")[0] for line in load().dump().splitlines() if line[0] not in " -"]
    assert keys[:6] == ["name", "seed", "steps", "data", "views", "encoder"]
    assert keys[6:] == ["class_tokens", "losses", "teacher_update", "init_from", "optimizer", "trainer", "evaluation"]


def test_what_was_dumped_reads_back_equal(load, components, write):
    recipe = load("optimizer.clip_norm=null", "data.validation={contigs: ['1', 'yes', '1e3']}", "trainer.micro_batch=4")
    again = load_recipe(write(recipe.dump(), "saved.yaml"), components)
    assert again == recipe
    assert again.dump() == recipe.dump()


NUMBERS = st.floats(0, 1e6)
RAMPS = st.fixed_dictionaries({"start": NUMBERS, "end": NUMBERS, "warmup": st.floats(0, 0.99)})
SCHEDULES = NUMBERS | st.builds(lambda form, ramp: {form: ramp}, st.sampled_from(["cosine", "linear"]), RAMPS)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    weight=SCHEDULES,
    rate=SCHEDULES,
    seed=st.integers(0, 2**63 - 1),
    contigs=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3),
    name=st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,9}\Z"),
)
def test_any_recipe_reads_back_equal(load, components, write, text, weight, rate, seed, contigs, name):
    write(text, "whole.yaml")
    losses = {"distill": {"weight": weight}}
    stated = {"base": "whole.yaml", "name": name, "seed": seed, "losses": losses, "optimizer": {"learning_rate": rate}}
    recipe = load(text=dump({**stated, "data": {"validation": {"contigs": contigs}}}))
    assert recipe.data.validation.contigs == tuple(contigs)
    assert (recipe.name, recipe.seed) == (name, seed)
    assert load_recipe(write(recipe.dump(), "saved.yaml"), components) == recipe


def test_notes_count_neither_for_equality_nor_in_the_dump(load, write, components, text):
    write(text, "other.yaml")
    one, other = load(), load_recipe("other.yaml", components)
    assert one.notes != other.notes
    assert one == other
    assert one.dump() == other.dump()


@pytest.mark.parametrize(
    "given", ["seed=8", "encoder.dim=16", "losses.masked.weight=2", "encoder=transformer", "views.masked.see=[teacher]"]
)
def test_recipes_that_differ_are_not_equal(load, given):
    assert load(given) != load()
    assert load() != given


def test_a_recipe_is_frozen(load):
    recipe = load()
    for holder, key in [
        (recipe, "seed"),
        (recipe.views["masked"], "see"),
        (recipe.encoder.config, "dim"),
        (recipe.data, "length"),
    ]:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(holder, key, 1)
    with pytest.raises(AttributeError, match="cannot assign"):
        recipe.encoder.name = "x"
    with pytest.raises(TypeError, match="unhashable"):
        hash(recipe)


def test_a_key_called_notes_is_unknown(problems, text):
    assert problems(text=text + "notes: [x]\n")[0].startswith("recipe.yaml:20:1  notes: unknown key")


def test_the_plain_form_is_what_json_can_say(load):
    plain = load("views.masked.augment=[]").plain()
    mask = {"name": "independent", "fraction": 0.3}
    assert plain["views"]["masked"] == {"see": ["student"], "length": None, "count": 1, "augment": [], "mask": mask}
    assert plain["losses"]["distill"] == {
        "name": "self_distillation",
        "weight": 0.5,
        "student_temperature": 0.2,
        "prototypes": 16,
    }
    assert plain["teacher_update"] == {"name": "ema", "momentum": {"cosine": {"start": 0.9, "end": 1.0, "warmup": 0.0}}}

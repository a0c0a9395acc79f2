"""The table of kinds: that it agrees with the rest of the kit, and that a made-up kind needs nothing but an entry in it."""

import re
from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any, ClassVar

import pytest
from jsonschema import Draft7Validator
from pydantic import Field

from findna_kit.cli.components import _entries
from findna_kit.cli.scaffolding import files
from findna_kit.component_config import ComponentConfig
from findna_kit.errors import PluginError, RecipeError
from findna_kit.plugins.entry_points import PluginSource
from findna_kit.plugins.kinds import KINDS, Kind
from findna_kit.plugins.loading import load_plugins
from findna_kit.plugins.registry import Components
from findna_kit.recipe import Recipe, load_recipe
from findna_kit.recipe.extra_keys import EXTRA_KEYS
from findna_kit.recipe.json_schema import recipe_schema
from findna_kit.runs.provenance import origins_of
from tests.building import ROOT


class Sampler(ABC):
    Config: ClassVar[type[ComponentConfig]]
    examples: ClassVar[Any] = ({},)

    @abstractmethod
    def __call__(self, windows): ...


class Uniform(Sampler):
    """Draws every window alike."""

    class Config(ComponentConfig):
        share: float = Field(0.5, gt=0, le=1, description="share of the windows that are drawn")

    def __call__(self, windows):
        return windows


SAMPLER = Kind("sampler", "samplers", Sampler, path=("sampler",), description="how windows are drawn")
TABLE = (*KINDS, SAMPLER)


@pytest.fixture
def components():
    components, _ = load_plugins(kinds=TABLE)
    with components.registering(PluginSource("lab", "findna-lab", "1.0")):
        components.samplers.add("uniform", Uniform)
    return components


# All of a made-up kind, from its entry in the table


def test_a_made_up_kind_is_validated_in_a_recipe(components):
    recipe = load_recipe("self_distill", components, overrides=["sampler={name: uniform, share: 0.25}"])
    assert (recipe.sampler.component, recipe.sampler.config.share) == (Uniform, 0.25)
    assert load_recipe("self_distill", components, overrides=["sampler=uniform"]).plain()["sampler"] == {
        "name": "uniform", "share": 0.5,
    }  # fmt: skip
    for override, message in {
        "sampler=unifrm": "sampler.name: no sampler is called 'unifrm'; did you mean 'uniform'?",
        "sampler={name: uniform, shre: 1}": "sampler.shre: unknown key; did you mean 'share'?",
        "sampler={name: uniform, share: 2}": "sampler.share: must be at most 1 (got 2)",
    }.items():
        with pytest.raises(RecipeError) as refused:
            load_recipe("self_distill", components, overrides=[override])
        assert message in str(refused.value)


def test_a_made_up_kind_is_written_and_read_again(components, tmp_path):
    recipe = load_recipe("self_distill", components, overrides=["sampler=uniform"])
    (tmp_path / "saved.yaml").write_text(recipe.dump())
    assert load_recipe(tmp_path / "saved.yaml", components) == recipe


def test_a_recipe_without_it_is_what_it_was(components):
    without = load_recipe("self_distill", components)
    assert without.sampler is None
    assert without.dump() == load_recipe("self_distill", load_plugins()[0]).dump()


def test_a_made_up_kind_is_in_the_json_schema(components):
    accepts = Draft7Validator(recipe_schema(components)).is_valid
    base = {"base": "self_distill"}
    assert accepts({**base, "sampler": "uniform"})
    assert accepts({**base, "sampler": {"name": "uniform", "share": 1}})
    assert not accepts({**base, "sampler": {"name": "uniform", "share": 2}})
    assert not accepts({**base, "sampler": "other"})
    assert not Draft7Validator(recipe_schema(load_plugins()[0])).is_valid({**base, "sampler": "uniform"})


def test_a_made_up_kind_has_its_provenance_recorded(components):
    recipe = load_recipe("self_distill", components, overrides=["sampler=uniform"])
    assert origins_of(recipe, components, []).components["sampler"] == {"uniform": "findna-lab 1.0"}


def test_a_made_up_kind_is_scaffolded(components):
    made = files("motif", ["sampler"], TABLE)
    module = made["findna_motif/__init__.py"]
    assert 'registry.samplers.add("motif_sampler", MotifSampler)' in module
    compile(module, "motif", "exec")
    scope = {"__name__": "tests.motif"}
    exec(module, scope)
    with components.registering(PluginSource("motif", "findna-motif", "0.1")):
        scope["findna_kit_register"](components)
    assert components.samplers["motif_sampler"].__name__ == "MotifSampler"


def test_a_made_up_kind_is_listed_by_the_command_components(components):
    (entry,), single = _entries(components, "sampler", with_parameters=True)
    record = entry.record()
    assert (record["kind"], record["name"], record["from"], single) == ("sampler", "uniform", "findna-lab 1.0", False)
    assert record["does"] == "Draws every window alike."
    assert [row["name"] for row in record["parameters"]] == ["share"]
    assert (SAMPLER.heading, SAMPLER.page) == ("Samplers", "samplers.md")


def test_a_kind_by_label_is_a_map(tmp_path):
    kind = Kind("probe", "probes", Sampler, path=("probes", "*"), description="by label")
    components = load_plugins(kinds=(*KINDS, kind))[0]
    with components.registering(PluginSource("lab", "findna-lab", "1.0")):
        components.probes.add("uniform", Uniform)
    recipe = load_recipe("self_distill", components, overrides=["probes={one: uniform, two: {name: uniform, share: 1}}"])
    assert [(key, spec.config.share) for key, spec in recipe.chosen() if key.startswith("probes")] == [
        ("probes.one", 0.5), ("probes.two", 1.0),
    ]  # fmt: skip
    assert "probes" not in load_recipe("self_distill", components).plain()


def test_a_path_that_no_model_can_hold_is_refused():
    kind = Kind("probe", "probes", Sampler, path=("a", "b", "c"))
    with pytest.raises(ValueError, match="the path of kind probe must be one key, or one key and ANY"):
        load_recipe("self_distill", load_plugins(kinds=(*KINDS, kind))[0])


# The table and the rest


def test_the_registries_are_those_of_the_table_and_are_declared_for_type_checkers():
    declared = {name for name in Components.__annotations__ if not name.startswith("_")}
    assert declared == {kind.plural for kind in KINDS}
    assert [registry.kind for registry in Components().registries()] == [kind.name for kind in KINDS]


def test_a_key_of_the_recipe_is_a_field_of_it_and_extra_keys_are_known():
    for kind in KINDS:
        assert not kind.path or kind.path[0] in Recipe.model_fields
        assert set(kind.keys) <= set(EXTRA_KEYS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_its_template_checks_page_and_default(kind):
    templates = ROOT / "findna_kit" / "cli" / "templates"
    assert (templates / kind.template).is_file() and (templates / f"test_{kind.template}").is_file()
    module, _, attribute = kind.check.partition(":")
    assert getattr(import_module(module), attribute)
    assert (ROOT / "docs" / "reference" / kind.page).is_file()
    assert kind.default is None or kind.default in load_plugins()[0].of(kind)


def test_a_parameter_with_the_name_of_an_extra_key_is_refused():
    class Greedy(Sampler):
        class Config(ComponentConfig):
            clip_norm: float = Field(1.0, description="taken")

        def __call__(self, windows): ...

    greedy = Kind("sampler", "samplers", Sampler, path=("sampler",), keys=("clip_norm",))
    components = Components((greedy,))
    refused = pytest.raises(PluginError, match=r"Config\.clip_norm: the recipe uses this key itself")
    with components.registering(PluginSource("lab", "findna-lab", "1.0")), refused:
        components.samplers.add("greedy", Greedy)


def test_no_module_lists_the_kinds_by_hand():
    """Where three kinds are named side by side, the table should be read instead."""
    names = "|".join(kind.name for kind in KINDS)
    listing = re.compile(rf'(["\'])(?:{names})\1[^"\'\n]*(["\'])(?:{names})\2[^"\'\n]*(["\'])(?:{names})\3')
    for path in sorted((ROOT / "findna_kit").rglob("*.py")):
        if path.name != "kinds.py":
            assert listing.search(path.read_text()) is None, path


# The new kinds in a recipe


def test_an_optimizer_is_chosen_like_any_component_and_adamw_is_meant_without_a_name():
    components = load_plugins()[0]
    recipe = load_recipe("self_distill", components, overrides=["optimizer={learning_rate: 0.1, clip_norm: 2}"])
    assert (recipe.optimizer.name, recipe.optimizer.config.beta1, recipe.optimizer.clip_norm) == ("adamw", 0.9, 2.0)
    assert list(recipe.plain()["optimizer"]) == ["name", "learning_rate", "weight_decay", "beta1", "beta2", "clip_norm"]
    lion = load_recipe("self_distill", components, overrides=["optimizer.name=lion"])
    assert (lion.optimizer.name, lion.optimizer.clip_norm) == ("lion", 0.5)
    dropped = "optimizer: the parameters of 'adamw' are dropped: learning_rate, weight_decay"
    assert dropped in lion.notes
    assert load_recipe("self_distill", components, overrides=["optimizer=sgd"]).optimizer.config.momentum == 0.9


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer=adam", "optimizer.name: no optimizer is called 'adam'; did you mean 'adamw'?"),
        ("optimizer={name: sgd, beta1: 0.9}", "optimizer.beta1: unknown key"),
        ("optimizer.clip_norm=-1", "optimizer.clip_norm: must be greater than 0 (got -1)"),
        ("optimizer.weight=1", "optimizer.weight: only a loss has a weight; leave it out"),
        ("teacher_update.clip_norm=1", "teacher_update.clip_norm: only an optimizer has clip_norm; leave it out"),
    ],
)
def test_what_is_no_optimizer_is_refused(override, message):
    with pytest.raises(RecipeError) as refused:
        load_recipe("self_distill", load_plugins()[0], overrides=[override])
    assert message in str(refused.value)


FORMS = {
    "optimizer.learning_rate={name: wsd, start: 1.0e-3, end: 0}": "optimizer.learning_rate",
    "teacher_update.momentum={name: linear, start: 0.9, end: 1}": "teacher_update.momentum",
    "losses.distill.weight={name: cosine, start: 1, end: 0, delay: 0.25}": "losses.distill.weight",
}


@pytest.mark.parametrize("override", FORMS)
def test_a_schedule_is_chosen_by_its_name_in_any_field(override):
    components = load_plugins()[0]
    plain = load_recipe("self_distill", components, overrides=[override]).plain()
    *path, last = FORMS[override].split(".")
    for key in path:
        plain = plain[key]
    name = re.search(r"name: (\w+)", override)[1]
    assert [*plain[last]] == [name]


def test_another_schedule_takes_the_place_of_the_old_one_in_either_form():
    components = load_plugins()[0]
    linear = ["teacher_update.momentum={name: linear, start: 0.9, end: 1}"]
    wsd = "teacher_update.momentum={wsd: {start: 0.9, end: 1}}"
    for overrides in (linear, [wsd, *linear], [*linear, wsd]):
        momentum = load_recipe("self_distill", components, overrides=overrides).teacher_update.config.momentum
        assert momentum.name == ("wsd" if overrides[-1] == wsd else "linear")


def test_schedules_that_a_recipe_uses_are_recorded():
    components = load_plugins()[0]
    recipe = load_recipe("self_distill", components, overrides=["losses.masked.weight={wsd: {start: 1, end: 0}}"])
    used = recipe.used()
    assert ("schedule", "wsd") in used and ("schedule", "cosine") in used and ("optimizer", "adamw") in used
    assert ("schedule", "constant") not in used, "a number names no component"
    assert origins_of(recipe, components, []).components["schedule"].keys() == {"wsd", "cosine"}

"""What editors are told of a recipe, beside what `load_recipe` takes."""

from __future__ import annotations

import json
from typing import Annotated

import jsonschema
import pytest
from pydantic import Field, PlainValidator
from ruamel.yaml import YAML

from findna_kit.components.interfaces import ComponentConfig
from findna_kit.errors import RecipeError
from findna_kit.plugins.entry_points import PLUGINS_ENV, PluginSource
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe, shipped_recipes
from findna_kit.recipe.json_schema import recipe_schema
from findna_kit.recipe.shipped import SCHEMA
from tests.building import ROOT
from tests.recipe.conftest import RECIPE, ToyEncoder

SHIPPED = sorted(shipped_recipes())
OBJECTIVES = "objectives"
"""The plugin that recipes/methods/ need."""


def document(text):
    return YAML(typ="safe", pure=True).load(text)


def validator(schema):
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


@pytest.fixture
def judged(write, load, components):
    """Whether the schema accepts a text, and what `load_recipe` says of it; `whole.yaml` is a base to stand on."""
    accepts = validator(recipe_schema(components)).is_valid

    def judged(text):
        write(RECIPE, "whole.yaml")
        try:
            load(text=text)
        except RecipeError as error:
            return accepts(document(text)), str(error)
        return accepts(document(text)), "good"

    return judged


@pytest.fixture(scope="module")
def builtin():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PLUGINS_ENV, "none")
        return load_plugins()[0]


@pytest.fixture(scope="module")
def with_objectives():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PLUGINS_ENV, OBJECTIVES)
        return load_plugins()[0]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_and_their_dumps_are_accepted(name, builtin, with_objectives):
    components = with_objectives if name.startswith("methods/") else builtin
    schema = validator(recipe_schema(components))
    schema.validate(document(shipped_recipes()[name].read_text()))
    dumped = load_recipe(name, components).dump()
    assert "base:" not in dumped
    schema.validate(document(dumped))


REFUSED = [
    ("seed: 7", "seeed: 7"),
    ("seed: 7", "seed: true"),
    ("seed: 7", "seed: null"),
    ("seed: 7", "seed: 9223372036854775808"),
    ("seed: 7", "seed: 7\ninit_from: {run: r, parts: [encoders]}"),
    ("steps: 20", "steps: -1"),
    ("steps: 20", "steps: many"),
    ("steps: 20", "# none"),
    ("name: small", "name: a/b"),
    ("length: 64", "lenght: 64"),
    ("length: 64", "length: 0"),
    ("length: 64", "length: '64'"),
    ("batch_size: 4", "batch_size: 4\n  max_unknown: 1"),
    ("batch_size: 4", "batch_size: 4\n  validation: {shares: 0.1}"),
    ("batch_size: 4", "batch_size: 4\n  validation: some"),
    ("genome: builtin", "genome: []"),
    ("genome: builtin", "genome: [{path: builtin, weight: 0}]"),
    ("  shifted: {see: [teacher]", "  Shifted: {see: [teacher]"),
    ("see: [teacher]", "see: [pupil]"),
    ("see: [teacher]", "see: []"),
    ("see: [teacher]", "see: teacher"),
    ("see: [teacher]", "sees: [teacher]"),
    ("insertion]", "insertions]"),
    ("insertion]", "{maximum: 3}]"),
    ("maximum: 3", "maximum: -3"),
    ("fraction: 0.3", "fraction: 1"),
    ("name: independent", "name: independnt"),
    ("name: chordmixer, dim: 12", "name: chordmixr"),
    ("name: chordmixer, dim: 12", "dim: 12"),
    ("name: chordmixer, dim: 12", "name: picky"),
    ("dim: 12", "dims: 12"),
    ("dim: 12", "dim: 10"),
    ("dim: 12", "weight: 1"),
    ("dim: 12", "rc: both"),
    ("{name: chordmixer, dim: 12}", "3"),
    ("{name: chordmixer, dim: 12}", "chordmixr"),
    ("{name: chordmixer, dim: 12}", "picky"),
    ("masked: masked_nucleotides", "masked: self_distillation"),
    ("masked: masked_nucleotides", "masked: {name: masked_nucleotides, prototypes: 4}"),
    ("weight: 0.5", "weight: -0.5"),
    ("weight: 0.5", "weight: null"),
    ("weight: 0.5", "weight: {linear: {start: -1, end: 0}}"),
    ("student_temperature: 0.2", "prototypes: 4"),
    ("student_temperature: 0.2", "student_temperature: cold"),
    ("student_temperature: 0.2", "student_temperature: {constant: 0.2}"),
    ("start: 0.9", "start: 1.9"),
    ("start: 0.9", "begin: 0.9"),
    ("end: 1.0", "end: 1.0, warmup: 1"),
    (", end: 1.0", ""),
    ("{cosine: {start: 0.9, end: 1.0}}", "{sine: {start: 0.9, end: 1.0}}"),
    ("{cosine: {start: 0.9, end: 1.0}}", "{cosine: {start: 0.9, end: 1.0}, linear: {start: 0, end: 1}}"),
    ("{cosine: {start: 0.9, end: 1.0}}", "{}"),
    ("{cosine: {start: 0.9, end: 1.0}}", "2"),
    ("{cosine: {start: 0.9, end: 1.0}}", "true"),
    ("class_tokens: 2", "class_tokens: 2\ntrainer: {precision: fp16}"),
    ("class_tokens: 2", "class_tokens: 2\ntrainer: {micro_batch: some}"),
    ("class_tokens: 2", "class_tokens: 2\nevaluation: {protocols: [probes]}"),
    ("class_tokens: 2", "class_tokens: 2\noptimizer: {name: sgd}"),
    ("class_tokens: 2", "class_tokens: 2\noptimizer: {clip_norm: 0}"),
]


@pytest.mark.parametrize(("old", "new"), REFUSED, ids=[new.replace("\n", " ") for _, new in REFUSED])
def test_what_load_recipe_refuses_is_refused(judged, changed, old, new):
    accepted, read = judged(changed(old, new))
    assert not accepted
    assert read != "good"


PICKY = "{name: picky, width: 3, stem: {strides: [1, 2]}, flavour: fancy, size: 4, odd: 3, code: xy, on: true, table: {a: 1}}"
ACCEPTED = [
    ("seed: 7", "seed: 7\noptimizer: {clip_norm: null, learning_rate: {linear: {start: 1, end: 0, warmup: 0.5}}}"),
    ("seed: 7", "seed: 7\ninit_from: {run: r, parts: [encoder, heads]}"),
    ("seed: 7", "seed: 7\ntrainer: {micro_batch: 4, precision: bf16}"),
    ("batch_size: 4", "batch_size: 4\n  validation: {contigs: [a], share: null}"),
    ("genome: builtin", "genome: [{path: builtin, weight: 3}, {path: a.fa, validation: {share: 0.1}}]"),
    ("fraction: 0.3}", "fraction: 0.3}\n    length: 32\n    count: 2"),
    ("fraction: 0.3}", "fraction: 0.3}\n    length: [0.3, 0.5]"),
    ("mask: {name: independent, fraction: 0.3}", "mask: null"),
    ("{name: chordmixer, dim: 12}", "transformer"),
    ("{name: chordmixer, dim: 12}", PICKY),
    ("{name: chordmixer, dim: 12}", "{name: chordmixer, dropout: null}"),
    ("{cosine: {start: 0.9, end: 1.0}}", "1"),
]


@pytest.mark.parametrize(("old", "new"), ACCEPTED, ids=[new.replace("\n", " ") for _, new in ACCEPTED])
def test_what_load_recipe_takes_is_accepted(judged, changed, old, new):
    assert judged(changed(old, new)) == (True, "good")


OVER = [
    "name: derived",
    "seed: null\nclass_tokens: null",
    "data: {length: 128}",
    "losses: {masked: null}",
    "views: {masked: {augment: [deletion], mask: null}, shifted: null}",
    "views: {}",
    "encoder: {blocks: 3}",
    "encoder: {dim: null}",
    "encoder: transformer",
    "losses: {distill: self_distillation}",
    "losses: {distill: {weight: null}}",
    "teacher_update: {momentum: {cosine: {start: 0.5}}}",
    "teacher_update: {momentum: {linear: {start: 0.5, end: 1}}}",
    "optimizer: {clip_norm: null}",
]


@pytest.mark.parametrize("lines", OVER)
def test_a_piece_over_a_base_is_accepted(judged, lines):
    assert judged(f"base: whole.yaml\n{lines}\n") == (True, "good")
    assert not judged(f"{lines}\n")[0], "without a base it is no recipe"


REFUSED_OVER = [
    "seeed: 7",
    "class_tokens: x",
    "data: {lenght: 64}",
    "data: {length: 0}",
    "encoder: {bloks: 3}",
    "encoder: {name: chordmixr}",
    "encoder: transformr",
    "encoder: {name: chordmixer, width: 3}",
    "losses: {masked: {weight: -1}}",
    "losses: {masked: masked_nucleotide}",
    "losses: {Masked: null}",
    "views: {masked: {augment: [{maximum: 3}]}}",
    "views: {masked: {augment: [null]}}",
    "views: {masked: {see: []}}",
    "teacher_update: {momentum: {cosine: {start: 5}}}",
    "teacher_update: {momentum: {constant: 1}}",
]


@pytest.mark.parametrize("lines", REFUSED_OVER)
def test_a_piece_that_fits_no_base_is_refused(judged, lines):
    accepted, read = judged(f"base: whole.yaml\n{lines}\n")
    assert not accepted
    assert read != "good"


@pytest.mark.parametrize("base", ["3", "null", "[a]", "''"])
def test_a_base_is_one_path(judged, base):
    accepted, read = judged(f"base: {base}\nseed: 1\n")
    assert not accepted
    assert read != "good"


def test_a_name_that_two_plugins_claim_is_no_component(components):
    with components.registering(PluginSource("other", "findna-other", "1")):
        components.encoders.add("transformer", ToyEncoder)
    accepts = validator(recipe_schema(components)).is_valid
    assert accepts(document(RECIPE))
    assert not accepts(document(RECIPE.replace("{name: chordmixer, dim: 12}", "transformer")))


def test_a_parameter_that_is_read_in_a_way_of_its_own_may_be_anything(components):
    class Own(ToyEncoder):
        class Config(ComponentConfig):
            shape: Annotated[object, PlainValidator(str)] = Field(description="whatever its validator takes")
            pair: tuple[int, str] = Field((1, "a"), description="one of each")

    with components.registering(PluginSource("other", "findna-other", "1")):
        components.encoders.add("own", Own)
    accepts = validator(recipe_schema(components)).is_valid
    for parameters, good in (("shape: {a: [1]}", True), ("shape: 1, pair: [1, b]", True), ("shape: 1, pair: [b, 1]", False)):
        recipe = RECIPE.replace("{name: chordmixer, dim: 12}", f"{{name: own, {parameters}}}")
        assert accepts(document(recipe)) is good


def defaults(properties):
    return {key: schema["default"] for key, schema in properties.items() if "default" in schema}


def test_the_defaults_are_those_that_a_recipe_gets(builtin, tmp_path):
    schema = recipe_schema(builtin)
    needed = "name: n\nsteps: 0\ndata: {genome: builtin, length: 9, batch_size: 1}\nviews: {v: {see: [student]}}\n"
    (tmp_path / "r.yaml").write_text(f"{needed}encoder: transformer\nlosses: {{}}\nteacher_update: none\n")
    got = load_recipe(tmp_path / "r.yaml", builtin).plain()
    top = defaults(schema["else"]["properties"])
    assert {"seed", "optimizer", "trainer", "evaluation"} < top.keys()
    assert top == {key: got[key] for key in top}
    for part, name in (("data", "DataSettings"), ("trainer", "TrainerSettings")):
        stated = defaults(schema["definitions"][name]["properties"])
        assert stated == {key: got[part][key] for key in stated}
        assert stated


def test_every_builtin_component_stands_there_with_its_parameters(builtin):
    properties = recipe_schema(builtin)["else"]["properties"]
    view = recipe_schema(builtin)["definitions"]["ViewChoice"]["properties"]
    places = {
        "encoder": properties["encoder"], "teacher_update": properties["teacher_update"],
        "loss": next(iter(properties["losses"]["patternProperties"].values())),
        "optimizer": properties["optimizer"],
        "augmentation": view["augment"]["items"], "masking": {"anyOf": view["mask"]["anyOf"][:-1]},
    }  # fmt: skip
    for registry in [registry for registry in builtin.registries() if registry.spec.path]:
        alone, *maps = places[registry.kind]["anyOf"]
        assert alone["enum"] == list(registry)
        for name, schema in zip(registry, maps, strict=True):
            own = {"name", *{"loss": ["weight"], "encoder": ["rc"], "optimizer": ["clip_norm"]}.get(registry.kind, [])}
            config = registry[name].Config
            assert schema["properties"]["name"]["const"] == name
            assert schema["properties"]["name"]["description"].startswith(registry[name].__doc__.partition("\n")[0])
            assert schema["properties"].keys() == own | config.model_fields.keys()
            assert all(
                schema["properties"][key]["description"] == info.description for key, info in config.model_fields.items()
            )
            if set(schema["required"]) <= {"name"}:
                stated = {key: value for key, value in defaults(schema["properties"]).items() if key not in own}
                assert stated == config().model_dump(mode="json")


def test_no_class_name_is_offered(builtin):
    written = json.dumps(recipe_schema(builtin))
    assert "Config" not in written


@pytest.mark.parametrize(("folder", "plugins"), [("recipes", "builtin"), ("recipes/methods", "with_objectives")])
def test_the_schema_beside_the_shipped_recipes_is_todays(folder, plugins, request):
    committed = ROOT / folder / SCHEMA
    expected = recipe_schema(request.getfixturevalue(plugins))
    assert committed.is_file() and json.loads(committed.read_text()) == expected, "renew it: make schema"


@pytest.mark.parametrize("name", SHIPPED)
def test_editors_find_it_in_the_second_line(name):
    first, second, *_ = shipped_recipes()[name].read_text().splitlines()
    assert first.startswith("# ")
    assert second == f"# yaml-language-server: $schema={SCHEMA}"

"""Recipes for people: listed, copied, and the JSON Schema that editors check them by."""

from __future__ import annotations

import json

import jsonschema
import pytest

from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe, shipped_recipes
from tests.installing import findna, install

SCHEMA = "recipe.schema.json"
OWN = '''
from pydantic import Field
from findna_kit import hookimpl
from findna_kit.builtin.augmentations.noise import Noise
from findna_kit.components.interfaces import ComponentConfig

findna_kit_api = 2

class Hail(Noise):
    """Falls on the bases."""
    class Config(ComponentConfig):
        weather: float = Field(0.5, gt=0, description="how bad it is")

@hookimpl
def findna_kit_register(registry):
    registry.augmentations.add("hail", Hail)
'''


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed distributions that this process finds."""
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


def fine(*arguments):
    code, out, err = findna(*arguments)
    assert code == 0, err
    return out, err


def refused(*arguments):
    code, out, err = findna(*arguments)
    assert (code, out) == (2, "")
    return err


def augmentations(schema):
    alone, *_ = schema["definitions"]["ViewChoice"]["properties"]["augment"]["items"]["anyOf"]
    return alone["enum"]


def test_list_is_what_recipes_alone_does():
    assert fine("recipes", "list") == fine("recipes")
    names = [line.split()[0] for line in fine("recipes")[0].splitlines()[1:]]
    assert [name for name in names if ":" not in name] == list(shipped_recipes()), "the others are of installed plugins"


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_a_copy_is_the_same_recipe_and_its_editor_finds_the_schema(name, folder):
    out, err = fine("recipes", "copy", name)
    file = f"{name.rpartition('/')[2]}.yaml"
    assert out == ""
    assert err.splitlines()[-1] == f"next: edit it, then findna-kit check ./{file}"
    assert {path.name for path in folder.iterdir()} == {file, SCHEMA}
    assert (folder / file).read_bytes() == shipped_recipes()[name].read_bytes()
    assert f"$schema={SCHEMA}" in (folder / file).read_text().splitlines()[1]
    components, _ = load_plugins()
    overrides = ["data.genome=builtin"]
    assert load_recipe(f"./{file}", components, overrides=overrides) == load_recipe(name, components, overrides=overrides)


def test_a_copy_does_not_change_what_the_shipped_name_means(folder):
    fine("recipes", "copy", "masked_only")
    (folder / "masked_only.yaml").write_text("nothing that could be read as a recipe")
    _, err = fine("show", "masked_only")
    assert err.startswith("recipe: the shipped recipe 'masked_only'")


def test_a_file_that_is_there_is_kept_unless_told(folder):
    (folder / "masked_only.yaml").write_text("mine")
    assert refused("recipes", "copy", "masked_only") == (
        "masked_only.yaml: already exists; use another --out FILE, or --overwrite\n"
    )
    assert [path.name for path in folder.iterdir()] == ["masked_only.yaml"]
    assert (folder / "masked_only.yaml").read_text() == "mine"
    fine("recipes", "copy", "masked_only", "--overwrite")
    assert (folder / "masked_only.yaml").read_bytes() == shipped_recipes()["masked_only"].read_bytes()


def test_a_schema_that_is_there_is_left_and_said(folder):
    (folder / SCHEMA).write_text("mine")
    _, err = fine("recipes", "copy", "masked_only", "--overwrite")
    assert f"{SCHEMA}: already exists and was kept; `findna-kit schema` prints the current one" in err
    assert (folder / SCHEMA).read_text() == "mine"


def test_out_may_be_anywhere(folder):
    _, err = fine("recipes", "copy", "info_nce", "--out", "a b/mine.yaml")
    assert err.splitlines()[-1] == "next: edit it, then findna-kit check 'a b/mine.yaml'"
    assert sorted(path.name for path in (folder / "a b").iterdir()) == ["mine.yaml", SCHEMA]


def test_an_unknown_name_is_answered_with_the_nearest(folder):
    assert "no shipped recipe is called 'masked_onl'; did you mean 'masked_only'? (shipped: " in refused(
        "recipes", "copy", "masked_onl"
    )
    assert "no plugin has that name" in refused("recipes", "copy", "masked_only", "--without", "nobody")
    assert list(folder.iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(folder):
    (folder / "file").write_text("")
    long = "x" * 300
    said = {
        folder: f"{folder}: is a folder; name a file, such as --out {folder}/info_nce.yaml\n",
        "file/mine.yaml": "file/mine.yaml: cannot be written: File exists; use another --out FILE\n",
        long: f"{long}: cannot be written: File name too long; use another --out FILE\n",
    }
    for out, sentence in said.items():
        assert refused("recipes", "copy", "info_nce", "--out", out) == sentence
        assert refused("recipes", "copy", "info_nce", "--out", out, "--overwrite") == sentence
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_the_schema_knows_the_plugins_of_today(site, folder):
    install(site, "findna-hail", OWN)
    install(site, "findna-broken", "raise RuntimeError('out of order')")
    out, err = fine("schema")
    assert err == "broken (findna-broken 1.0) failed to load: RuntimeError: out of order\n"
    schema = json.loads(out)
    assert "hail" in augmentations(schema)
    recipe = json.loads(json.dumps(load_recipe("masked_only", load_plugins()[0]).plain()))
    accepts = jsonschema.Draft7Validator(schema).is_valid
    for weather, good in ((1, True), (0, False)):
        recipe["views"]["masked"]["augment"] = [{"name": "hail", "weather": weather}]
        assert accepts(recipe) is good
    fine("recipes", "copy", "masked_only")
    assert json.loads((folder / SCHEMA).read_text()) == schema


def test_a_plugin_left_out_is_not_in_the_schema(site):
    install(site, "findna-hail", OWN)
    out, err = fine("schema", "--without", "hail")
    assert err == ""
    assert "hail" not in augmentations(json.loads(out))
    assert "--without nobody: no plugin has that name" in refused("schema", "--without", "nobody")

"""Recipes that plugins bring: `plugin:name`, found without importing anything."""

from __future__ import annotations

import json
import sys

import pytest

from findna_kit.errors import FindnaError, RecipeError
from findna_kit.plugins.entry_points import COMPONENTS, RECIPES, enabled_entries, recipes_of
from findna_kit.recipe import load_recipe
from tests.installing import findna, install, install_package

CODE = "raise RuntimeError('imported')"
SMALL = "# Small: what the lab begins with\nbase: self_distill\nname: small\nsteps: 7\n"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A plugin `lab` that cannot be imported, with two recipes; the working folder is empty."""
    folder, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    files = {
        "lab/__init__.py": CODE,
        "lab/recipes/small.yaml": SMALL,
        "lab/recipes/large.yaml": "base: self_distill\nname: large\n",
        "lab/recipes/README.md": "not a recipe",
        "lab/methods/deep/odd.yaml": "base: self_distill\nname: odd\n",
    }
    install_package(folder, "findna-lab", files, {COMPONENTS: {"lab": "lab"}, RECIPES: {"lab": "lab"}}, version="0.2")
    monkeypatch.syspath_prepend(folder)
    yield folder
    assert "lab" not in sys.modules, "it was never imported"


def test_it_stands_wherever_a_shipped_name_may(site, tmp_path):
    path = site / "lab" / "recipes" / "small.yaml"
    recipe = load_recipe("lab:small", components_of_kit())
    assert (recipe.name, recipe.steps) == ("small", 7)
    assert recipe.notes[0] == f"recipe: the recipe 'lab:small' of lab (findna-lab 0.2) ({path})"
    (tmp_path / "work" / "mine.yaml").write_text("base: lab:small\nname: mine\n")
    with pytest.raises(RecipeError, match="a base has no base of its own"):
        load_recipe("mine.yaml", components_of_kit())
    path.write_text(findna("show", "self_distill")[1])
    mine = load_recipe("mine.yaml", components_of_kit())
    assert mine.name == "mine"
    assert mine.notes[1] == f"base: the recipe 'lab:small' of lab (findna-lab 0.2) ({path})"


def components_of_kit():
    from findna_kit.plugins.loading import load_plugins

    return load_plugins()[0]


def test_commands_take_it(site):
    code, stdout, stderr = findna("check", "lab:small")
    assert (code, "small: valid" in stdout) == (0, True)
    assert "the recipe 'lab:small' of lab (findna-lab 0.2)" in stderr
    assert "steps: 7\n" in findna("show", "lab:small")[1]


def test_a_file_of_that_name_comes_first(site, tmp_path):
    (tmp_path / "work" / "lab:small").write_text("base: self_distill\nname: mine\n")
    assert "name: mine\n" in findna("show", "lab:small")[1]


def test_recipes_are_listed_and_copied(site, tmp_path):
    listed = findna("recipes")[1].splitlines()
    (line,) = [line for line in listed if line.startswith("lab:small")]
    assert "Small: what the lab begins with" in line
    assert [line for line in listed if line.startswith("lab:large")]
    code, _, stderr = findna("recipes", "copy", "lab:small")
    copied = tmp_path / "work" / "small.yaml"
    assert (code, copied.read_text()) == (0, SMALL), stderr
    assert json.loads((tmp_path / "work" / "recipe.schema.json").read_text())
    assert "lab:smal" in findna("recipes", "copy", "lab:smal")[2]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("lab:smal", "and lab (findna-lab 0.2) has no such recipe; did you mean 'lab:small'? (it has: lab:large, lab:small)"),
        ("lap:small", "no such file, and no plugin called 'lap' brings recipes; did you mean 'lab'? (plugins that do: "),
    ],
)
def test_a_name_that_is_not_there_is_answered_with_those_that_are(site, given, said):
    for words in (("check", given), ("recipes", "copy", given)):
        code, stdout, stderr = findna(*words)
        assert (code, stdout) == (2, "")
        assert said in stderr
        assert "Traceback" not in stderr


def test_two_folders_of_one_name_are_an_error_only_where_it_is_asked_for(site):
    install_package(site, "findna-twin", {"twin/recipes/a.yaml": SMALL}, {RECIPES: {"lab": "twin"}}, version="4.0")
    code, _, stderr = findna("check", "lab:small")
    assert code == 2
    assert "the recipe folder 'lab' is claimed by findna-lab 0.2 and findna-twin 4.0" in stderr
    assert findna("check", "self_distill")[0] == 0


def test_the_variable_leaves_them_out(site, monkeypatch):
    monkeypatch.setenv("FINDNA_KIT_PLUGINS", "none")
    assert "lab:" not in findna("recipes")[1]
    assert "no plugin called 'lab' brings recipes (plugins that do: none)" in findna("check", "lab:small")[2]


FOLDERS = {
    "named": ("lab:methods.deep", "odd"),
    "below": ("lab.methods:deep", "odd"),
}


@pytest.mark.parametrize("way", FOLDERS)
def test_another_folder_may_be_named(site, way):
    value, name = FOLDERS[way]
    install_package(site, "findna-way", {}, {RECIPES: {"way": value}})
    (offer,) = [offer for offer in enabled_entries(RECIPES) if offer.owner.plugin == "way"]
    assert recipes_of(offer) == {f"way:{name}": site / "lab" / "methods" / "deep" / "odd.yaml"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("nowhere", "nowhere is no installed package"),
        ("single", "single is no installed package"),
        ("lab:methods", r"there is no \.yaml file in .*/lab/methods"),
        ("lab.missing", r"there is no \.yaml file in .*/lab/missing/recipes"),
    ],
)
def test_a_folder_that_is_not_there_spoils_no_list(site, value, said):
    install_package(site, "findna-bad", {"single.py": ""}, {RECIPES: {"bad": value}})
    (offer,) = [offer for offer in enabled_entries(RECIPES) if offer.owner.plugin == "bad"]
    with pytest.raises(FindnaError, match=rf"the recipes of bad \(findna-bad 1\.0\) .* cannot be found: {said}"):
        recipes_of(offer)
    code, stdout, stderr = findna("recipes")
    assert (code, "lab:small" in stdout, "the recipes of bad (findna-bad 1.0)" in stderr) == (0, True, True)
    assert findna("check", "bad:x")[0] == 2


def test_a_plugin_without_recipes_is_none_that_brings_them(site):
    install(site, "findna-plain", "")
    assert "no plugin called 'plain' brings recipes" in findna("check", "plain:x")[2]

"""A component's parameter that is a path: relative to whoever states it, saved absolute, looked for before a run begins."""

from __future__ import annotations

import pytest
from pydantic import Field

from findna_kit.components.interfaces import Augmentation, ComponentConfig, RecipePath
from findna_kit.errors import PluginError
from findna_kit.plugins.entry_points import PluginSource
from findna_kit.recipe import load_recipe
from tests.installing import findna, install

PLUGIN = '''
from pydantic import Field
from findna_kit import hookimpl
from findna_kit.components.interfaces import Augmentation, ComponentConfig, RecipePath

findna_kit_api = 2

class Listed(Augmentation):
    """Keeps everything."""

    class Config(ComponentConfig):
        file: RecipePath = Field(..., description="a list")

    def __call__(self, view, draw):
        return view

@hookimpl
def findna_kit_register(registry):
    registry.augmentations.add("listed", Listed)
'''
VIEW = "views.shifted.augment=[{name: listed, file: list.txt}]"


class Filed(Augmentation):
    class Config(ComponentConfig):
        file: RecipePath = Field(..., description="wanted")
        other: RecipePath | None = Field(None, description="perhaps")
        word: str = Field("x", description="no path")

    def __call__(self, view, draw):
        return view


@pytest.fixture
def with_filed(components):
    with components.registering(PluginSource("files", "findna-files", "1")):
        components.augmentations.add("filed", Filed)
    return components


def test_a_config_knows_its_paths():
    assert Filed.Config.paths() == ("file", "other")


def test_a_list_of_them_is_refused_when_the_class_is_made():
    with pytest.raises(PluginError, match=r"Config\.files: the type must be RecipePath or RecipePath \| None"):

        class Config(ComponentConfig):
            files: tuple[RecipePath, ...] = Field((), description="several")


def test_they_are_relative_to_the_file_that_states_them(with_filed, write, text, tmp_path, monkeypatch):
    write(text)
    mine = tmp_path / write(
        "base: recipe.yaml\nviews:\n  shifted: {augment: [{name: filed, file: a.txt, other: ../b.txt, word: c.txt}]}\n",
        "mine.yaml",
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    recipe = load_recipe(mine, with_filed)
    config = recipe.views["shifted"].augment[0].config
    assert (config.file, config.other, config.word) == (str(tmp_path / "a.txt"), str(tmp_path.parent / "b.txt"), "c.txt")
    assert recipe.component_files() == {
        "views.shifted.augment.0.file": config.file, "views.shifted.augment.0.other": config.other,
    }  # fmt: skip
    assert load_recipe(tmp_path / write(recipe.dump(), "saved.yaml"), with_filed) == recipe


def test_from_a_set_they_are_relative_to_the_working_folder(with_filed, write, text, tmp_path, monkeypatch):
    write(text)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    recipe = load_recipe(tmp_path / "recipe.yaml", with_filed, overrides=["views.shifted.augment=[{name: filed, file: a.txt}]"])
    assert recipe.component_files() == {"views.shifted.augment.0.file": str(tmp_path / "elsewhere" / "a.txt")}


def test_an_empty_one_is_refused(with_filed, problems):
    said = problems("views.shifted.augment=[{name: filed, file: ''}]")
    assert len(said) == 1 and "views.shifted.augment.0.file" in said[0]


def test_one_that_is_not_there_is_said_before_a_run_begins(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(install(tmp_path / "site", "findna-listed", PLUGIN))
    monkeypatch.chdir(tmp_path)
    for command in ("check", "run"):
        code, _, err = findna(command, "self_distill", "--set", VIEW)
        assert code == 2
        assert f"views.shifted.augment.0.file: {tmp_path / 'list.txt'}: no such file or folder" in err
    (tmp_path / "list.txt").touch()
    assert findna("check", "self_distill", "--set", VIEW)[0] == 0

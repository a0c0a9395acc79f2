"""A path, or the name of a recipe that comes with the package."""

from __future__ import annotations

import pytest

from findna_kit.errors import RecipeError
from findna_kit.recipe import load_recipe, shipped, shipped_recipes


@pytest.fixture
def package(tmp_path, monkeypatch, text):
    """A package with one shipped recipe, laid out as in a wheel or as in a checkout."""

    def package(layout):
        home = tmp_path / "site" / "findna_kit"
        folder = home / "recipes" if layout == "wheel" else home.parent / "recipes"
        folder.mkdir(parents=True)
        home.mkdir(exist_ok=True)
        (folder / "self_distill.yaml").write_text(text)
        (folder / "short.yaml").write_text("base: self_distill.yaml\nname: short\n")
        (folder / "README.md").write_text("not a recipe")
        if layout == "checkout":
            (home.parent / "pyproject.toml").write_text("")
        monkeypatch.setattr(shipped, "_PACKAGE", home)
        return folder

    return package


@pytest.mark.parametrize("layout", ["wheel", "checkout"])
def test_shipped_recipes_are_found_in_both_layouts(package, layout):
    folder = package(layout)
    assert shipped_recipes() == {name: folder / f"{name}.yaml" for name in ("self_distill", "short")}


def test_a_folder_beside_an_installed_package_is_not_ours(package):
    package("checkout")
    (shipped._PACKAGE.parent / "pyproject.toml").unlink()
    assert shipped_recipes() == {}


def test_this_package_ships_the_main_recipe():
    assert shipped_recipes()["self_distill"].is_file()


def test_a_shipped_name_is_read_where_no_such_file_is(package, components, write):
    folder = package("wheel")
    recipe = load_recipe("self_distill", components)
    assert recipe.notes == (f"recipe: the shipped recipe 'self_distill' ({folder / 'self_distill.yaml'})",)
    write("base: self_distill\nname: mine\n", "self_distill.d/mine.yaml")
    mine = load_recipe("self_distill.d/mine.yaml", components)
    assert mine.name == "mine"
    assert mine.notes[1] == f"base: the shipped recipe 'self_distill' ({folder / 'self_distill.yaml'})"


def test_a_file_of_that_name_comes_first(package, components, write, changed, tmp_path):
    package("wheel")
    write(changed("name: small", "name: mine"), "self_distill")
    recipe = load_recipe("self_distill", components)
    assert recipe.name == "mine"
    assert recipe.notes == (f"recipe: the file {tmp_path / 'self_distill'}",)


def test_a_folder_of_that_name_does_not_hide_it(package, components, write, tmp_path):
    package("wheel")
    write("", "self_distill/x")
    assert load_recipe("self_distill", components).name == "small"


def test_a_shipped_recipe_finds_its_base_beside_itself(package, components):
    package("wheel")
    assert load_recipe("short", components).name == "short"


def test_problems_of_a_shipped_recipe_carry_its_path(package, components):
    folder = package("wheel")
    (folder / "short.yaml").write_text("base: self_distill.yaml\nsteps: x\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe("short", components)
    assert caught.value.problems[0].where == f"{folder / 'short.yaml'}:2:8"


LISTED = "(shipped: self_distill, short)"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("self_distil", f"no such file, and no shipped recipe has that name; did you mean 'self_distill'? {LISTED}"),
        ("x/self_distill.yaml", f"no such file, and no shipped recipe has that name; did you mean 'self_distill'? {LISTED}"),
        ("zzz", f"no such file, and no shipped recipe has that name {LISTED}"),
        ("~nobody-of-that-name/x", f"no such file, and no shipped recipe has that name {LISTED}"),
        ("x" * 5000, f"no such file, and no shipped recipe has that name {LISTED}"),
        ("a\x00b", f"no such file, and no shipped recipe has that name {LISTED}"),
        ("site", f"this is a folder, not a recipe {LISTED}"),
    ],
    ids=["near", "path", "far", "home", "long", "null", "folder"],
)
def test_what_cannot_be_found_lists_what_is_shipped(package, components, monkeypatch, tmp_path, source, said):
    package("wheel")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError) as caught:
        load_recipe(source, components)
    assert str(caught.value) == f"{source}  {said}"


def test_a_path_object_may_be_given(write, components, text, tmp_path):
    write(text)
    assert load_recipe(tmp_path / "recipe.yaml", components).name == "small"


def test_a_path_may_start_at_home(write, components, text, tmp_path, monkeypatch):
    write(text, "home/recipe.yaml")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert load_recipe("~/recipe.yaml", components).name == "small"


def test_a_shipped_task_keeps_its_name_where_no_such_file_is(components, write, text, tmp_path):
    write(text)
    chosen = ["evaluation.tasks=[builtin, gue/H3, mine]"]
    assert "gue/H3" in shipped.shipped_task_files()
    tasks = load_recipe("recipe.yaml", components, overrides=chosen).evaluation.tasks
    assert tasks == ("builtin", "gue/H3", str(tmp_path / "mine"))
    write("a folder of the user's own", "gue/H3/train.csv")
    assert load_recipe("recipe.yaml", components, overrides=chosen).evaluation.tasks[1] == str(tmp_path / "gue" / "H3")


def test_a_task_that_is_no_path_is_refused_on_its_line(components, write, text):
    write(text)
    with pytest.raises(RecipeError, match=r"evaluation.tasks"):
        load_recipe("recipe.yaml", components, overrides=["evaluation.tasks=[[gue/H3]]"])

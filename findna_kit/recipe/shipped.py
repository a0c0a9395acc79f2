"""Locations of recipes, studies and task files: a path, or else a name that comes with the package or with a plugin."""

from __future__ import annotations

import os.path
from pathlib import Path

from findna_kit.errors import nearest
from findna_kit.plugins.entry_points import RECIPES, enabled_entries, recipes_of, unique_entry

METHODS, OBJECTIVES = "methods", "findna-kit-objectives"
"""Folder of the recipes of published methods, whose names are `methods/NAME`, and the distribution that they need."""
STUDIES = "ablations"
"""Folder of the shipped studies; their names are `ablations/NAME`."""
TASKS = "tasks"
"""Folder of the files of labelled tasks."""
SCHEMA = "recipe.schema.json"
"""Name of the JSON Schema in each folder of recipes; their second line refers editors to it."""
_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes of the package by name: of the installed wheel, or of the checkout if it is installed editable."""
    return _found("*.yaml", f"{METHODS}/*.yaml")


def shipped_task_files() -> dict[str, Path]:
    """Return the task files of the package by name (`gue/H3`)."""
    return {name.removeprefix(f"{TASKS}/"): path for name, path in _found(f"{TASKS}/**/*.yaml").items()}


def shipped_studies() -> dict[str, Path]:
    """Return the ablation studies of the package by name."""
    return _found(f"{STUDIES}/*.yaml")


def _found(*patterns: str) -> dict[str, Path]:
    folder = _PACKAGE / "recipes"
    # A checkout has them at its top level, where readers look for them; the build copies them into the wheel.
    if not folder.is_dir() and (_PACKAGE.parent / "pyproject.toml").is_file():
        folder = _PACKAGE.parent / "recipes"
    paths = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def find_study(given: str) -> Path:
    """Return the file of a study: a path, or a shipped name. Raise FileNotFoundError with the known names."""
    path, shipped = Path(os.path.expanduser(given)), shipped_studies()  # noqa: PTH111 - as below
    if os.path.isfile(path):  # noqa: PTH113 - as below
        return path
    if given in shipped:
        return shipped[given]
    near = nearest(given, shipped)
    raise FileNotFoundError(f"no such file, and no shipped study has that name{near} (shipped: {', '.join(shipped) or 'none'})")


def find_recipe(given: str, folder: Path) -> tuple[Path, str]:
    """Return the file that a recipe's path or name means from `folder`, and a description of it.

    Raise FileNotFoundError with the known names where there is none.
    """
    path = folder / os.path.expanduser(given)  # noqa: PTH111 - Path.expanduser raises where nobody has that name
    if os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises for a name that is too long
        return path, f"the file {path.resolve()}"
    shipped = shipped_recipes()
    if given in shipped:
        return shipped[given], f"the shipped recipe {given!r} ({shipped[given]})"
    if os.path.isdir(path):  # noqa: PTH112 - as above
        raise FileNotFoundError(f"this is a folder, not a recipe{_listed(given, shipped)}")
    # Only now, because the name of a file may contain a colon, too.
    if ":" in given:
        return recipe_of_plugin(given)
    raise FileNotFoundError(f"no such file, and no shipped recipe has that name{_listed(given, shipped)}")


def _listed(given: str, shipped: dict[str, Path]) -> str:
    return f"{nearest(Path(given).stem, shipped)} (shipped: {', '.join(shipped) or 'none'})"


def recipe_of_plugin(given: str) -> tuple[Path, str]:
    """Return the file of `plugin:name`, and a description of it.

    Raise FileNotFoundError with the known names, or FindnaError where the plugin's recipes cannot be found.
    """
    plugin = given.partition(":")[0]
    offers = enabled_entries(RECIPES)
    offer = unique_entry(offers, plugin, "the recipe folder")
    if offer is None:
        names = [one.owner.plugin for one in offers]
        raise FileNotFoundError(
            f"no such file, and no plugin called {plugin!r} brings recipes{nearest(plugin, names)} "
            f"(plugins that do: {', '.join(names) or 'none'})"
        )
    recipes = recipes_of(offer)
    if given not in recipes:
        raise FileNotFoundError(
            f"no such file, and {offer.owner} has no such recipe{nearest(given, recipes)} (it has: {', '.join(recipes)})"
        )
    return recipes[given], f"the recipe {given!r} of {offer.owner} ({recipes[given]})"

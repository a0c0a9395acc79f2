"""Commands about recipes as files: recipes list, recipes copy, schema."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit.atomic import atomic_write
from findna_kit.cli import loading
from findna_kit.cli.progress import table
from findna_kit.errors import FindnaError, OutputExists, nearest
from findna_kit.plugins.entry_points import RECIPES, enabled_entries, recipes_of
from findna_kit.recipe.shipped import SCHEMA, recipe_of_plugin, shipped_recipes

if TYPE_CHECKING:
    from collections.abc import Sequence


def listing() -> None:
    """Names of the recipes, the kit's and the plugins', and what the first comment of each says."""
    rows = [["recipe", "what it is"]]
    for name, path in _everybodys().items():
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        rows.append([name, first.lstrip("# ") if first.startswith("#") else ""])
    table(rows)


def _everybodys() -> dict[str, Path]:
    """The shipped recipes, then those of plugins; says which plugin's cannot be found."""
    found = shipped_recipes()
    for offer in enabled_entries(RECIPES):
        try:
            found |= recipes_of(offer)
        except FindnaError as error:
            loading.say(str(error))
    return found


def copy(name: str, out: Path | None, without: Sequence[str], *, overwrite: bool) -> None:
    """Writes the recipe to `out` or NAME.yaml and, where none is beside it, the schema that its second line names.

    Of a plugin's `plugin:name`, NAME is what follows the colon. Raises FindnaError for a name that nobody ships, OutputExists
    for a file that may not be replaced or written.
    """
    source = _source(name)
    target = out or Path(f"{source.stem}.yaml")
    if os.path.isdir(target):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
        raise OutputExists(f"{target}: is a folder; name a file, such as --out {target / source.stem}.yaml")
    if os.path.lexists(target) and not overwrite:
        raise OutputExists(f"{target}: is there already; take another --out FILE, or --overwrite it")
    beside = target.with_name(SCHEMA)
    text = None if os.path.lexists(beside) else _schema(without)
    _write(target, source.read_text(encoding="utf-8"))
    loading.say(f"{target}: a copy of {source}")
    if text is None:
        loading.say(f"{beside}: is there already, and was left as it is; `findna-kit schema` prints today's")
    else:
        _write(beside, text)
        loading.say(f"{beside}: what an editor checks the recipe by, made of the plugins that are installed")
    named = target if len(target.parts) > 1 else f"./{target}"
    loading.say(f"next: edit it, then findna-kit check {shlex.quote(str(named))}")


def _source(name: str) -> Path:
    shipped = shipped_recipes()
    if name in shipped:
        return shipped[name]
    if ":" not in name:
        raise FindnaError(f"no shipped recipe is called {name!r}{nearest(name, shipped)} (shipped: {', '.join(shipped)})")
    try:
        return recipe_of_plugin(name)[0]
    except FileNotFoundError as error:
        raise FindnaError(f"{name}: {error}") from error


def schema(without: Sequence[str]) -> None:
    """The JSON Schema of a recipe."""
    print(_schema(without), end="")


def _schema(without: Sequence[str]) -> str:
    from findna_kit.plugins.loading import load_plugins
    from findna_kit.recipe.json_schema import recipe_schema

    components, plugins = load_plugins(without)
    loading.say_failures(plugins)
    return json.dumps(recipe_schema(components), indent=1) + "\n"


def _write(path: Path, text: str) -> None:
    """Whole. Raises OutputExists where nothing can be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputExists(f"{path}: cannot be written: {error.strerror}; name another with --out FILE") from error

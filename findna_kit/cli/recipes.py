"""Commands about recipes as files: recipes list, recipes copy, schema."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit.cli import loading
from findna_kit.cli.progress import table
from findna_kit.errors import FindnaError, OutputExists, nearest
from findna_kit.files import whole
from findna_kit.recipe.shipped import SCHEMA, shipped_recipes

if TYPE_CHECKING:
    from collections.abc import Sequence


def listing() -> None:
    """Names of the shipped recipes, and what the first comment of each says."""
    rows = [["recipe", "what it is"]]
    for name, path in shipped_recipes().items():
        first = path.read_text(encoding="utf-8").splitlines()[0]
        rows.append([name, first.lstrip("# ") if first.startswith("#") else ""])
    table(rows)


def copy(name: str, out: Path | None, without: Sequence[str], *, overwrite: bool) -> None:
    """Writes the shipped recipe to `out` or NAME.yaml and, where none is beside it, the schema that its second line names.

    Raises FindnaError for a name that is not shipped, OutputExists for a file that may not be replaced or written.
    """
    shipped = shipped_recipes()
    if name not in shipped:
        raise FindnaError(f"no shipped recipe is called {name!r}{nearest(name, shipped)} (shipped: {', '.join(shipped)})")
    target = out or Path(f"{name}.yaml")
    if os.path.isdir(target):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
        raise OutputExists(f"{target}: is a folder; name a file, such as --out {target / name}.yaml")
    if os.path.lexists(target) and not overwrite:
        raise OutputExists(f"{target}: is there already; take another --out FILE, or --overwrite it")
    beside = target.with_name(SCHEMA)
    text = None if os.path.lexists(beside) else _schema(without)
    _write(target, shipped[name].read_text(encoding="utf-8"))
    loading.say(f"{target}: a copy of {shipped[name]}")
    if text is None:
        loading.say(f"{beside}: is there already, and was left as it is; `findna-kit schema` prints today's")
    else:
        _write(beside, text)
        loading.say(f"{beside}: what an editor checks the recipe by, made of the plugins that are installed")
    named = target if len(target.parts) > 1 else f"./{target}"
    loading.say(f"next: edit it, then findna-kit check {shlex.quote(str(named))}")


def schema(without: Sequence[str]) -> None:
    """The JSON Schema of a recipe."""
    print(_schema(without), end="")


def _schema(without: Sequence[str]) -> str:
    from findna_kit.plugins import load_plugins
    from findna_kit.recipe.json_schema import recipe_schema

    components, plugins = load_plugins(without)
    loading.say_failures(plugins)
    return json.dumps(recipe_schema(components), indent=1) + "\n"


def _write(path: Path, text: str) -> None:
    """Whole. Raises OutputExists where nothing can be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputExists(f"{path}: cannot be written: {error.strerror}; name another with --out FILE") from error

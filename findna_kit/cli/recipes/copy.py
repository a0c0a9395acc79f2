"""The command `recipes copy`: of a recipe with its JSON Schema, or of a study."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from findna_kit.atomic import atomic_write
from findna_kit.cli.completion import complete_recipe_or_study
from findna_kit.cli.console import log
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Without
from findna_kit.cli.schema import schema_text
from findna_kit.errors import FindnaError, OutputExists, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.recipe import shipped
else:
    shipped = LazyModule("findna_kit.recipe.shipped")


def copy_recipe(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            autocompletion=complete_recipe_or_study,
            help="Name of a shipped recipe or study, or PLUGIN:NAME for a recipe of a plugin.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the copy to this file. [default: NAME.yaml]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    without: Without = None,
) -> None:
    """Copy a recipe to edit it, with the JSON Schema that editors validate it against; or copy a study.

    A schema that exists next to the copy is kept.
    """
    source = _find(name)
    target = out or Path(f"{source.stem}.yaml")
    if os.path.isdir(target):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
        raise OutputExists(f"{target}: is a folder; name a file, such as --out {target / source.stem}.yaml")
    if os.path.lexists(target) and not overwrite:
        raise OutputExists(f"{target}: already exists; use another --out FILE, or --overwrite")
    if name in shipped.shipped_studies():
        _write(target, source.read_text(encoding="utf-8"))
        log(f"{target}: a copy of {source}")
    else:
        _copy_with_schema(source, target, without or [])
    # A bare file name could be taken for the name of a shipped recipe.
    shown = target if len(target.parts) > 1 else f"./{target}"
    log(f"next: edit it, then findna-kit check {shlex.quote(str(shown))}")


def _copy_with_schema(source: Path, target: Path, without: Sequence[str]) -> None:
    """Copy a recipe, and write the schema next to it unless there is one."""
    schema = target.with_name(shipped.SCHEMA)
    # Built before anything is written: if a plugin breaks the schema, there is no half copy.
    text = None if os.path.lexists(schema) else schema_text(without)
    _write(target, source.read_text(encoding="utf-8"))
    log(f"{target}: a copy of {source}")
    if text is None:
        log(f"{schema}: already exists and was kept; `findna-kit schema` prints the current one")
    else:
        _write(schema, text)
        log(f"{schema}: the schema that editors validate the recipe against, for the plugins that are installed now")


def _find(name: str) -> Path:
    """Return the file of a shipped recipe or study, or of a plugin's recipe. Raises FindnaError for an unknown name."""
    files = shipped.shipped_recipes() | shipped.shipped_studies()
    if name in files:
        return files[name]
    if ":" not in name:
        raise FindnaError(f"no shipped recipe is called {name!r}{nearest(name, files)} (shipped: {', '.join(files)})")
    try:
        return shipped.recipe_of_plugin(name)[0]
    except FileNotFoundError as error:
        raise FindnaError(f"{name}: {error}") from error


def _write(path: Path, text: str) -> None:
    """Write the file completely or not at all. Raises OutputExists if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputExists(f"{path}: cannot be written: {error.strerror}; use another --out FILE") from error

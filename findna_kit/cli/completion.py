"""Shell completion of recipes, studies, components, tasks, plugins and the keys of `--set`.

The names come from an index file in the cache folder, so that a completion imports neither torch nor plugins. The index is
built by the first completion after the kit or a plugin was installed or changed; that one takes a few seconds. A completion
never fails: what cannot be determined is not offered.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer  # noqa: TC002 - typer reads the annotation of `context` at run time

from findna_kit import __version__
from findna_kit.atomic import atomic_write
from findna_kit.cli.lazy import LazyModule
from findna_kit.data.cache_folder import cache_folder
from findna_kit.errors import FindnaError
from findna_kit.plugins.entry_points import COMPONENTS, PLUGINS_ENV, REPORTERS, installed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from findna_kit.cli import completion_index
    from findna_kit.cli.completion_index import NameIndex
    from findna_kit.plugins.entry_points import PluginEntry
else:
    completion_index = LazyModule("findna_kit.cli.completion_index")

INDEX = "completion.json"


def complete_recipe(incomplete: str) -> list[str]:
    """Return the shipped recipes and those of plugins."""
    return _matching(_index()["set_keys"], incomplete)  # its keys are the names of all recipes


def complete_study(incomplete: str) -> list[str]:
    """Return the shipped studies."""
    return _matching(_index()["studies"], incomplete)


def complete_recipe_or_study(incomplete: str) -> list[str]:
    """Return the shipped recipes and studies, and the recipes of plugins."""
    return complete_recipe(incomplete) + complete_study(incomplete)


def complete_component(incomplete: str) -> list[str]:
    """Return the kinds and the names of components."""
    kinds = _index()["components"]
    return _matching([*kinds, *(name for names in kinds.values() for name in names)], incomplete)


def complete_kinds(incomplete: str) -> list[str]:
    """Return the kinds of components, after those that are given already, separated by commas."""
    # Kinds are a comma-separated list: only the last one is still being typed.
    given, comma, last = incomplete.rpartition(",")
    return [f"{given}{comma}{kind}" for kind in _matching(_index()["components"], last)]


def complete_task(incomplete: str) -> list[str]:
    """Return the shipped tasks and `builtin`."""
    return _matching(["builtin", *_index()["tasks"]], incomplete)


def complete_override(context: typer.Context, incomplete: str) -> list[str]:
    """Return the keys of the recipe that the command names, followed by `=`; of any recipe if that one is not known."""
    keys = _index()["set_keys"]
    # While an option lacks its value, click leaves the arguments before it unparsed, in `context.args`.
    names = [str(context.params.get("recipe")), *context.args]
    # A recipe's own keys if one is on the command line, else those of all recipes.
    known = next((keys[name] for name in names if keys.get(name)), None)
    everything = dict.fromkeys(key for each in keys.values() for key in each)
    return _matching([f"{key}=" for key in (everything if known is None else known)], incomplete)


def complete_plugin(incomplete: str) -> list[str]:
    """Return the names of installed plugins."""
    return _matching(dict.fromkeys(entry.owner.plugin for entry in installed()), incomplete)


def complete_reporter(incomplete: str) -> list[str]:
    """Return the names of reporters."""
    return _matching([entry.owner.plugin for entry in installed() if entry.group == REPORTERS], incomplete)


def _matching(names: Iterable[str], incomplete: str) -> list[str]:
    """Return the names that begin with what the user has typed."""
    return [name for name in names if name.startswith(incomplete)]


def _index() -> NameIndex:
    """Return the index of names, from its file if that is up to date; an empty one where it cannot be built."""
    file = cache_folder() / INDEX
    try:
        fingerprint = _fingerprint(installed())
        stored = _read(file)
        if stored is not None and stored["fingerprint"] == fingerprint:
            return stored
        # Plugins may print while they are imported; the shell would take that for completions.
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            index = completion_index.build(fingerprint)
        _write(file, index)
    # A completion must never print an error into the user's command line; it offers nothing instead.
    except (FindnaError, OSError, ValueError):
        return {"fingerprint": "", "set_keys": {}, "studies": [], "components": {}, "tasks": []}
    return index


def _fingerprint(entries: list[PluginEntry]) -> str:
    """Return a digest of what is installed; it changes when a version, or the main file of a package with components, does."""
    parts: list[object] = [__version__, os.environ.get(PLUGINS_ENV)]
    for entry in entries:
        parts.append([entry.group, entry.owner.plugin, entry.owner.distribution, entry.owner.version, entry.entry.value])
        if entry.group == COMPONENTS:
            spec = find_spec(entry.entry.module.partition(".")[0])  # finds the package without importing it
            if spec is not None and spec.origin is not None and Path(spec.origin).is_file():
                # An editable plugin changes without a new version; the time of its file shows that.
                parts.append(Path(spec.origin).stat().st_mtime_ns)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read(file: Path) -> NameIndex | None:
    """Return the index in the file, or None if there is no valid one."""
    try:
        index: NameIndex = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    # The file is rebuilt if something else wrote it.
    return index if isinstance(index, dict) and "fingerprint" in index else None


def _write(file: Path, index: NameIndex) -> None:
    """Write the index; without a writable cache folder each completion builds its own."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Two shells may complete at the same time.
        with atomic_write(file) as temporary:
            temporary.write_text(json.dumps(index), encoding="utf-8")
    except OSError:
        return

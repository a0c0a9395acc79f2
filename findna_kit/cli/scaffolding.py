"""The command plugins new: a package with a plugin in it that installs, passes its tests and runs in a recipe at once."""

from __future__ import annotations

import os
import re
import shlex
import textwrap
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from findna_kit.atomic import atomic_write
from findna_kit.errors import FindnaError, OutputExists, nearest
from findna_kit.plugins.entry_points import KIT, installed

if TYPE_CHECKING:
    from collections.abc import Iterable

REGISTRIES = {
    "encoder": "encoders", "augmentation": "augmentations", "masking": "maskings", "loss": "losses",
    "teacher_update": "teacher_updates",
}  # fmt: skip
"""By kind: where a component of it is registered; in the order in which a module has them."""
_TEMPLATES = Path(__file__).parent / "templates"
_FILES = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    ".gitignore": "gitignore.txt",
    ".github/workflows/test.yml": "workflow.yml.txt",
    "$module/__init__.py": "module.py.txt",
    "$module/recipes/example.yaml": "example.yaml.txt",
    "tests/test_conformance.py": "test_conformance.py.txt",
}
"""What every package holds, and its template; beside these a test for each kind."""
_LONGEST = 30


def new(name: str, kinds: str, out: Path | None) -> None:
    """Writes the package to `out` or findna-NAME, whole or not at all, and says what to do next.

    kinds: comma-separated. Raises FindnaError for a kind or a name that cannot be, OutputExists where a package is already.
    """
    chosen, target = _kinds(kinds), out or Path(f"findna-{name}")
    _refuse(name)
    if os.path.lexists(target):
        raise OutputExists(f"{target}: is there already; take another --out DIR")
    written = files(name, chosen)
    try:
        _write(target, written)
    except OSError as error:
        raise OutputExists(f"{target}: cannot be written: {error.strerror}; name another with --out DIR") from error
    print(f"{target}: the plugin {name!r} with {_listed(chosen)}, in {len(written)} files. Next:")
    folder = str(target) if target.is_absolute() else f"./{target}"
    print(f"  pip install -e {shlex.quote(f'{folder}[dev]')}")
    print(f"  pytest {shlex.quote(folder)}")
    print(f"  findna-kit run {name}:example --set steps=20")


def files(name: str, kinds: Iterable[str]) -> dict[str, str]:
    """The text of every file of the package by path in it, for a name that may be one."""
    asked = set(kinds)
    chosen = [kind for kind in REGISTRIES if kind in asked]
    word = name.replace("-", "_")
    words = {
        "name": name, "word": word, "module": f"findna_{word}", "distribution": f"findna-{name}",
        "Class": "".join(part.capitalize() for part in name.split("-")), "described": _listed(chosen),
        **{package: _required(package) for package in ("pydantic", "torch", "pytest")}, "kit": _required(KIT),
    }  # fmt: skip
    words |= _parts_of_module(chosen, words)
    templates = _FILES | {f"tests/test_{kind}.py": f"test_{kind}.py.txt" for kind in chosen}
    texts = {Template(path).substitute(words): _filled(template, words, chosen) for path, template in templates.items()}
    return texts | {f"findna_{word}/py.typed": ""}


def _parts_of_module(kinds: list[str], words: dict[str, str]) -> dict[str, str]:
    """What differs between modules: components, the lines that register them, and the imports of what these use."""
    components = "\n\n".join(_filled(f"{kind}.py.txt", words, kinds) for kind in kinds).rstrip()
    lines = [f'registry.{REGISTRIES[kind]}.add("{words["word"]}_{kind}", {words["Class"]}{_camel(kind)})' for kind in kinds]
    registered = textwrap.indent("\n".join(lines), " " * 4)
    used = f"{components} hookimpl TYPE_CHECKING Components"
    return {
        "components": components, "registered": registered, "imports": _imports("imports.txt", used),
        "imports_of_types": textwrap.indent(_imports("imports_of_types.txt", used), " " * 4),
    }  # fmt: skip


def _imports(template: str, body: str) -> str:
    """The template's imports without the names that do not occur in `body`."""
    paragraphs = []
    for paragraph in _read(template).strip().split("\n\n"):
        lines = []
        for line in paragraph.splitlines():
            start, _, names = line.rpartition("import ")
            # Of `functional as F` what occurs is the F.
            kept = [name for name in names.split(", ") if re.search(rf"\b{name.split()[-1]}\b", body)]
            lines += [_import_line(start, kept)] if kept else []
        paragraphs += ["\n".join(lines)] if lines else []
    return "\n\n".join(paragraphs)


def _import_line(start: str, names: list[str]) -> str:
    """Return `from module import names`, one name a line where the statement would be longer than 128 characters."""
    line = f"{start}import {', '.join(names)}"
    return line if len(line) <= 128 else "\n    ".join([f"{start}import (", *(f"{name}," for name in names)]) + "\n)"


def _filled(template: str, words: dict[str, str], kinds: Iterable[str]) -> str:
    """A template with its words put in; a line that begins with `@kind|kind ` stands for those kinds alone."""
    lines = []
    for line in _read(template).splitlines(keepends=True):
        marked = re.match(r"@([a-z_|]+) ", line)
        if marked is None or set(marked[1].split("|")) & set(kinds):
            lines.append(line[marked.end() :] if marked else line)
    return Template("".join(lines)).substitute(words)


def _read(template: str) -> str:
    return (_TEMPLATES / template).read_text(encoding="utf-8")


def _write(target: Path, written: dict[str, str]) -> None:
    with atomic_write(target) as folder:
        for path, text in written.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")


def _kinds(given: str) -> list[str]:
    chosen = [kind.strip() for kind in given.split(",")]
    for kind in chosen:
        if kind not in REGISTRIES:
            known = ", ".join(REGISTRIES)
            raise FindnaError(f"--kind: no kind is called {kind!r}{nearest(kind, REGISTRIES)} (kinds: {known})")
    return [kind for kind in REGISTRIES if kind in chosen]


def _refuse(name: str) -> None:
    """FindnaError for a name that can be no module, or that is somebody's."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > _LONGEST:
        raise FindnaError(
            f"{name!r}: a name is made of lower-case letters and digits, with single hyphens between, a letter first, "
            f"and is at most {_LONGEST} long"
        )
    if name.startswith("findna-"):
        short = name.removeprefix("findna-")
        raise FindnaError(f"{name!r}: the package is called findna-NAME by itself; take {short!r}")
    taken = [str(offer.owner) for offer in installed() if offer.owner.plugin.replace("_", "-") == name]
    with suppress(metadata.PackageNotFoundError):
        found = metadata.distribution(f"findna-{name}")
        taken.append(f"{found.name} {found.version}")
    module = f"findna_{name.replace('-', '_')}"
    if find_spec(module) is not None:
        taken.append(f"the module {module}, which can be imported here")
    if taken:
        raise FindnaError(f"{name!r}: is taken by {taken[0]}; take another name")


def _listed(kinds: list[str]) -> str:
    """`an encoder and a loss`."""
    named = [f"{'an' if kind[0] in 'ae' else 'a'} {kind.replace('_', ' ')}" for kind in kinds]
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def _camel(kind: str) -> str:
    return "".join(part.capitalize() for part in kind.split("_"))


def _required(package: str) -> str:
    """From the oldest release that the kit takes (of the kit: from this one), up to the next major one."""
    if package == KIT:
        oldest = ".".join(metadata.version(KIT).split(".")[:2])
    else:
        stated = next(line for line in metadata.requires(KIT) or () if re.match(rf"{package}\b[^-]", line))
        oldest = stated.partition(">=")[2].partition(",")[0].partition(";")[0].strip()
    return f"{package}>={oldest},<{int(oldest.partition('.')[0]) + 1}"

"""The command `plugins new`: write a package with a plugin that installs, passes its tests and runs in a recipe."""

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
from findna_kit.plugins.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from findna_kit.plugins.kinds import Kind

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
"""The files of every package, each with its template. There is also a test for each kind."""
_LONGEST = 30
"""Characters in the name of a plugin, so that lines of the templates stay within the length that ruff allows."""


def new(name: str, kinds: str, out: Path | None) -> None:
    """Write the package to `out` or findna-NAME, whole or not at all, and print the next commands.

    kinds: comma-separated. Raise FindnaError for an unknown kind or an invalid name, OutputExists where the target exists.
    """
    chosen, target = _kinds(kinds), out or Path(f"findna-{name}")
    # The name becomes a distribution, a module and a prefix of components; all three must be free.
    _refuse(name)
    if os.path.lexists(target):
        raise OutputExists(f"{target}: is there already; take another --out DIR")
    written = files(name, [kind.name for kind in chosen])
    try:
        _write(target, written)
    except OSError as error:
        raise OutputExists(f"{target}: cannot be written: {error.strerror}; name another with --out DIR") from error
    print(f"{target}: the plugin {name!r} with {_listed(chosen)}, in {len(written)} files. Next:")
    # `./` makes pip take the argument for a path and not for the name of a distribution.
    folder = str(target) if target.is_absolute() else f"./{target}"
    print(f"  pip install -e {shlex.quote(f'{folder}[dev]')}")
    print(f"  pytest {shlex.quote(folder)}")
    print(f"  findna-kit run {name}:example --set steps=20")


def files(name: str, kinds: Iterable[str], table: Sequence[Kind] = KINDS) -> dict[str, str]:
    """Return the text of every file of the package, by its path in the package. `name` must be a valid one.

    kinds: names of kinds in `table`; the components stand in the order of the table.
    """
    # In the order of the table whatever the order of the option, so that equal requests give equal packages.
    requested = set(kinds)
    chosen = [kind for kind in table if kind.name in requested]
    word = name.replace("-", "_")
    words = {
        "name": name, "word": word, "module": f"findna_{word}", "distribution": f"findna-{name}",
        "Class": "".join(part.capitalize() for part in name.split("-")), "described": _listed(chosen),
        "registers": textwrap.fill(f"It registers {_listed(chosen)}.", 120),
        **{package: _required(package) for package in ("pydantic", "torch", "pytest")}, "kit": _required(KIT),
    }  # fmt: skip
    words |= _parts_of_module(chosen, words)
    # A generic skeleton has no formula to test; the conformance tests cover it.
    tests = {f"tests/test_{kind.name}.py": f"test_{kind.template}" for kind in chosen if kind.template}
    names = [kind.name for kind in chosen]
    texts = {Template(path).substitute(words): _filled(template, words, names) for path, template in (_FILES | tests).items()}
    return texts | {f"findna_{word}/py.typed": ""}


def _parts_of_module(kinds: Sequence[Kind], words: dict[str, str]) -> dict[str, str]:
    """Return what differs between modules: components, the lines that register them, and the imports of what these use."""
    components = "\n\n".join(_component(kind, words) for kind in kinds).rstrip()
    registered = [
        f'registry.{kind.plural}.add("{words["word"]}_{kind.name}", {words["Class"]}{_camel(kind.name)})' for kind in kinds
    ]
    # The template of the module uses these three itself.
    used = f"{components} hookimpl TYPE_CHECKING Components"
    generic = [f"from {kind.base_class.__module__} import {kind.base_class.__name__}" for kind in kinds if not kind.template]
    return {
        "components": components, "registered": textwrap.indent("\n".join(registered), " " * 4),
        "imports": "\n".join([_imports("imports.txt", used), *generic]),
        "imports_of_types": textwrap.indent(_imports("imports_of_types.txt", used), " " * 4),
    }  # fmt: skip


def _component(kind: Kind, words: dict[str, str]) -> str:
    """Return the class of a kind: the example of its template, or a skeleton of the methods that the base requires."""
    if kind.template:
        return _filled(kind.template, words, [kind.name])
    # Signatures are left open: the base class documents them, and the author copies what is needed.
    required = sorted(getattr(kind.base_class, "__abstractmethods__", ()))
    stub = (
        "    def {name}(self, *args: Any, **kwargs: Any) -> Any:\n"
        '        """To be written."""\n        raise NotImplementedError\n'
    )
    methods = "\n".join(stub.format(name=method) for method in required)
    described = {
        "Kind": _camel(kind.name), "base": kind.base_class.__name__, "config": kind.config_class.__name__, "methods": methods,
    }  # fmt: skip
    return _filled("component.py.txt", words | described, [kind.name])


def _imports(template: str, body: str) -> str:
    """Return the template's imports without the names that do not occur in `body`."""
    paragraphs = []
    for paragraph in _read(template).strip().split("\n\n"):
        lines = []
        for line in paragraph.splitlines():
            start, _, names = line.rpartition("import ")
            # Of `functional as F` what occurs is the F.
            # The template lists every import that any kind needs; only those that occur are written.
            kept = [name for name in names.split(", ") if re.search(rf"\b{name.split()[-1]}\b", body)]
            lines += [_import_line(start, kept)] if kept else []
        paragraphs += ["\n".join(lines)] if lines else []
    return "\n\n".join(paragraphs)


def _import_line(start: str, names: list[str]) -> str:
    """Return `from module import names`, one name a line where the statement would be longer than 128 characters."""
    line = f"{start}import {', '.join(names)}"
    # 128 is the line length of ruff in the pyproject.toml of the template.
    return line if len(line) <= 128 else "\n    ".join([f"{start}import (", *(f"{name}," for name in names)]) + "\n)"


def _filled(template: str, words: dict[str, str], kinds: Iterable[str]) -> str:
    """Fill in a template. A line that begins with `@kind|kind ` is kept for those kinds only."""
    lines = []
    for line in _read(template).splitlines(keepends=True):
        marked = re.match(r"@([a-z_|]+) ", line)
        if marked is None or set(marked[1].split("|")) & set(kinds):
            lines.append(line[marked.end() :] if marked else line)
    return Template("".join(lines)).substitute(words)


def _read(template: str) -> str:
    return (_TEMPLATES / template).read_text(encoding="utf-8")


def _write(target: Path, written: dict[str, str]) -> None:
    # A folder with half of the files would be refused by the next call.
    with atomic_write(target) as folder:
        for path, text in written.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")


def _kinds(stated: str) -> list[Kind]:
    """Return the kinds of a comma-separated list. Raise FindnaError for a name that no kind has."""
    names, known = [name.strip() for name in stated.split(",")], [kind.name for kind in KINDS]
    for name in names:
        if name not in known:
            raise FindnaError(f"--kind: no kind is called {name!r}{nearest(name, known)} (kinds: {', '.join(known)})")
    return [kind for kind in KINDS if kind.name in names]


def _refuse(name: str) -> None:
    """Raise FindnaError for a name that cannot be that of a module, or that is taken."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > _LONGEST:
        raise FindnaError(
            f"{name!r}: a name is made of lower-case letters and digits, with single hyphens between, a letter first, "
            f"and is at most {_LONGEST} long"
        )
    if name.startswith("findna-"):
        short = name.removeprefix("findna-")
        raise FindnaError(f"{name!r}: the package is called findna-NAME by itself; take {short!r}")
    # Underscores and hyphens are the same in names of distributions (PEP 503).
    taken = [str(offer.owner) for offer in installed() if offer.owner.plugin.replace("_", "-") == name]
    with suppress(metadata.PackageNotFoundError):
        found = metadata.distribution(f"findna-{name}")
        taken.append(f"{found.name} {found.version}")
    module = f"findna_{name.replace('-', '_')}"
    # A module of that name would hide the plugin's, or be hidden by it.
    if find_spec(module) is not None:
        taken.append(f"the module {module}, which can be imported here")
    if taken:
        raise FindnaError(f"{name!r}: is taken by {taken[0]}; take another name")


def _listed(kinds: Sequence[Kind]) -> str:
    """Return the kinds in words: `an encoder and a loss`."""
    named = [f"{'an' if kind.name[0] in 'aeo' else 'a'} {kind.name.replace('_', ' ')}" for kind in kinds]
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def _camel(kind: str) -> str:
    return "".join(part.capitalize() for part in kind.split("_"))


def _required(package: str) -> str:
    """Return the requirement: from the oldest release that the kit supports (of the kit: this one) to the next major one."""
    if package == KIT:
        # The plugin asks for this release of the kit or a later one of the same major version.
        oldest = ".".join(metadata.version(KIT).split(".")[:2])
    else:
        # The pattern excludes packages whose names only begin like this one, such as pytest-xdist.
        stated = next(line for line in metadata.requires(KIT) or () if re.match(rf"{package}\b[^-]", line))
        oldest = stated.partition(">=")[2].partition(",")[0].partition(";")[0].strip()
    return f"{package}>={oldest},<{int(oldest.partition('.')[0]) + 1}"

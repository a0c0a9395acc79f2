"""Write the generated pages of docs/: `make reference`, which runs `python tools/write_reference.py`.

They are: a page for each kind of component and one that lists all of them, from the registry with our own plugins installed;
the page of recipes of published methods, from the recipe files; and the page of the public Python interface, from the sources.
tests/test_reference.py fails when a page is out of date.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stubs import escaped, python_page

from findna_kit.cli.parameters import parameters
from findna_kit.plugins.kinds import KINDS
from findna_kit.plugins.loading import load_plugins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from findna_kit.plugins.registry import Registry

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
OWN = {"builtin", "encoders", "objectives", "optimizers", "teachers", "variation"}
"""The plugins whose components are listed; the example plugin is not."""
WRITTEN = "<!-- Written by tools/write_reference.py: `make reference`. Change the code, not this page. -->"
DECLARED = ("stride", "global_mixing", "strand", "head_input", "coupling", "needs_teacher", "export_branch", "frozen")
"""Class attributes that the page of a component shows in addition to its parameters."""
BASES = ("self_distill", "two_views")
BUILTIN_METHODS = ("lejepa", "genojepa", "jepa_dna")
"""Recipes of published methods beside recipes/methods/."""


def main() -> None:
    """Write every page."""
    (DOCS / "reference").mkdir(exist_ok=True)
    for name, text in pages().items():
        (DOCS / name).write_text(text)


def pages() -> dict[str, str]:
    """Return every generated page by its path in docs/."""
    registries = own_registries()
    found = {
        "reference/components.md": overview(registries),
        "methods.md": methods(),
        "reference/python.md": f"{WRITTEN}\n\n{python_page()}",
    }
    return {**{f"reference/{one.spec.page}": kind_page(one) for one in registries}, **found}


def own_registries() -> tuple[Registry[Any], ...]:
    """Return the components of the kit and its own plugins. Exit with a message if one of the plugins is missing or fails."""
    components, plugins = load_plugins()
    loaded = {plugin.owner.plugin for plugin in plugins if plugin.failure is None}
    if missing := OWN - loaded:
        sys.exit(f"not installed, or failing to load: {', '.join(sorted(missing))}; pip install -e plugins/..., plugins doctor")
    for plugin in plugins:
        if plugin.owner.plugin not in OWN:
            for registry in components.registries():
                registry.drop(plugin.owner)
    return components.registries()


def overview(registries: tuple[Registry[Any], ...]) -> str:
    """Return the page that lists every component."""
    lines = [
        WRITTEN,
        "# Components",
        "Look up every component that a recipe can choose: the built-in ones (`findna-kit`) and those of the plugins in "
        "`plugins/`. `findna-kit components` lists what is installed on your machine, including other plugins; `findna-kit "
        "components NAME` prints one with its parameters. A *schedule* is a number, or a curve over the run: `{cosine: {start: "
        "0.98, end: 1.0}}`.",
    ]
    for registry in registries:
        page = registry.spec.page
        lines.append(f"## [{registry.spec.heading}]({page})")
        rows = [_row(f"[{name}]({page}#{name})", _owner(registry, name), _first(registry[name])) for name in registry]
        lines.append("\n".join(["| name | from | what it does |", "| --- | --- | --- |", *rows]))
    names = "\n".join(Path(registry.spec.page).stem for registry in registries)
    lines.append(f"```{{toctree}}\n:hidden:\n\n{names}\n```")
    return "\n\n".join(lines) + "\n"


def _owner(registry: Registry[Any], name: str) -> str:
    return registry.owners(name)[0].distribution


def _first(component: type) -> str:
    return escaped(inspect.cleandoc(component.__doc__ or "").partition("\n\n")[0].replace("\n", " "))


def kind_page(registry: Registry[Any]) -> str:
    """Return the page of one kind."""
    note = f"Every `{registry.kind}` of the kit and its plugins. [All kinds](components.md)."
    return "\n\n".join([WRITTEN, f"# {registry.spec.heading}", note, *(_component(registry, name) for name in registry)]) + "\n"


def _component(registry: Registry[Any], name: str) -> str:
    component = registry[name]
    parts = [f"## {name}", f"*{_owner(registry, name)}*"]
    # The docstring of a module introduces its component, unless several share the module.
    if [one.__module__ for one in registry.values()].count(component.__module__) == 1:
        parts.append(escaped(inspect.cleandoc(sys.modules[component.__module__].__doc__ or "")))
    parts.append(escaped(inspect.cleandoc(component.__doc__ or "")))
    declared = [f"`{word}: {str(value).lower()}`" for word, value in _declared(component)]
    if declared:
        parts.append(f"Declares {', '.join(declared)}.")
    rows = [
        _row(f"`{row['name']}`", escaped(row["type"]), _default(row["default"]), escaped(row["meaning"]))
        for row in parameters(component.Config)
    ]
    heads = ["| parameter | type | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n\n".join([*parts, "\n".join([*heads, *rows]) if rows else "It has no parameters."])


def _declared(component: type) -> Iterator[tuple[str, Any]]:
    """Yield the class attributes that differ from the defaults of the kind, except those that an instance decides."""
    bases = {kind.base_class for kind in KINDS}
    kind = next(base for base in component.__mro__ if base in bases)
    for word in DECLARED:
        value = getattr(component, word, None)
        if isinstance(value, str | int) and value != getattr(kind, word, None):
            yield word, value


def _default(default: str) -> str:
    return default if default == "required" else f"`{default}`"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def methods() -> str:
    """Return the page of recipes of published methods, and of recipes from our plugins."""
    lines = [
        WRITTEN,
        "# Recipes of published methods",
        "Look up recipes of published self-supervised methods here. Each is a file in `recipes/methods/` that states its base "
        "recipe (`base:`) and what differs. They need the plugin `findna-kit-objectives`. Sizes are for a laptop, not those of "
        "the papers. Run or check a recipe by its name:",
        "```sh\nfindna-kit check methods/byol\n```",
        "The page of its [loss](reference/losses.md) describes each method, and how our version differs from the paper. None "
        "of them has been compared with published numbers, and few have been run to the end. Check the collapse signals of a "
        "run, and compare its scores with those of the untrained network. Methods without negatives collapsed here at "
        "plausible settings if no masked loss was added.",
    ]
    paths = sorted((ROOT / "recipes" / "methods").glob("*.yaml"), key=lambda path: (path.stem not in BASES, path.stem))
    rows = [_row(f"[{path.stem}](#{path.stem})", escaped(_summary_and_body(path)[0])) for path in paths]
    lines.append("\n".join(["| recipe | what it is |", "| --- | --- |", *rows]))
    lines += [f"## {path.stem}\n\n```yaml\n{_summary_and_body(path)[1]}```" for path in paths]
    lines += ["## Published methods that need no plugin", _recipes_without_plugin()]
    lines += [
        "## Recipes of the plugins",
        "Run them by their name, for example `findna-kit run encoders:hyena`.",
        _plugin_recipes(),
    ]
    return "\n\n".join(lines) + "\n"


def _recipes_without_plugin() -> str:
    """Return the table of the recipes of published methods that consist of built-in components."""
    rows = [_row(f"`{name}`", escaped(_summary_and_body(ROOT / "recipes" / f"{name}.yaml")[0])) for name in BUILTIN_METHODS]
    return "\n".join(["| recipe | what it is |", "| --- | --- |", *rows])


def _summary_and_body(path: Path) -> tuple[str, str]:
    """Return the first comment of a recipe, and its text after the comments at the top."""
    text = path.read_text()
    body = re.sub(r"\A(?:#.*\n)+", "", text)
    return text.partition("\n")[0].removeprefix("#").strip().rstrip("."), body


def _plugin_recipes() -> str:
    rows = ["| recipe | what it is |", "| --- | --- |"]
    for folder in sorted(ROOT.glob("plugins/findna-kit-*/*/recipes")):
        plugin = folder.parents[1].name.removeprefix("findna-kit-")
        if plugin in OWN:
            rows += [
                _row(f"`{plugin}:{path.stem}`", escaped(_summary_and_body(path)[0])) for path in sorted(folder.glob("*.yaml"))
            ]
    return "\n".join(rows)


if __name__ == "__main__":
    main()

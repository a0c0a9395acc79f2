"""A recipe's layers laid on each other: the file, its `base:` below it, the `--set`s on top."""

from __future__ import annotations

import os.path
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit.recipe.shipped import find_recipe, shipped_task_files
from findna_kit.recipe.yaml_nodes import LocatedIssue, Location, Node, display_value, dotted, parse, read_text, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from findna_kit.errors import RecipeError

FILE, BASE, SET = range(3)
Keys = tuple[str | int, ...]
ANY = "*"
COMPONENTS = {
    ("encoder",): "encoders", ("teacher_update",): "teacher_updates", ("losses", ANY): "losses",
    ("views", ANY, "mask"): "maskings", ("views", ANY, "augment", ANY): "augmentations",
}  # fmt: skip
"""Where components stand, and the registry of each; the schema's `Chosen` fields, a test compares them."""
_BEDS = (("include",), ("exclude",), ("validation", "bed"))
BUILTIN = "builtin"
TASKS = ("evaluation", "tasks", ANY)
PATHS = (
    ("init_from", "run"), TASKS, ("data", "genome"), ("data", "genome", ANY, "path"),
    *(("data", *bed) for bed in _BEDS), *(("data", "genome", ANY, *bed) for bed in _BEDS),
)  # fmt: skip
"""Values that are paths, unless they are `builtin`."""
FORMS = ({"cosine", "linear"}, {"share", "contigs", "bed"})
"""Keys of maps of which exactly one is stated: of a schedule, of `data.validation`. Another one takes its place."""
_OWN = ("name", "weight", "rc")
"""Keys of a component that are the recipe's: they outlive a change of its name."""


@dataclass
class Layers:
    """The merged document, what was wrong on the way, and what the user should be told."""

    root: Node
    found: list[LocatedIssue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_layers(source: str | Path, overrides: Sequence[str], folder: Path | None = None) -> Layers:
    """Reads and merges everything; RecipeError only for what leaves no document to look at.

    folder: what paths in the overrides start from; None: the working folder.
    """
    found: list[LocatedIssue] = []
    try:
        path, which = find_recipe(str(source), Path())
    except FileNotFoundError as error:
        raise refusal([LocatedIssue(Location(FILE, str(source)), "", str(error))]) from None
    root = _read(path, str(path) if path != Path(source) else str(source), FILE, found)
    layers = Layers(root, found, [f"recipe: {which}"])
    if "base" in _keys(root):
        _lay_on_base(layers, path)
    for number, text in enumerate(overrides):
        _override(layers, text, Location(SET, f"--set {text}", column=number), folder or Path.cwd())
    _absolute(layers.root)
    return layers


def _keys(node: Node) -> dict[str, Node]:
    return node.value if isinstance(node.value, dict) else {}


def _read(path: Path, name: str, layer: int, found: list[LocatedIssue]) -> Node:
    text = read_text(path, name, layer)
    root = parse(text, lambda line, column: Location(layer, name, line, column), path.parent, found)
    if root is None or not isinstance(root.value, dict):
        if root is not None and not root.refused:
            found.append(LocatedIssue(root.where, "", f"a recipe is a map of keys (got {display_value(root.plain())})"))
        raise refusal(found)
    _spell_out(root)
    return root


def _lay_on_base(layers: Layers, path: Path) -> None:
    """Merges the file over its base. A base that cannot be read ends the reading: all that it states would seem missing."""
    stated = _keys(layers.root).pop("base")

    def refuse(message: str, where: Location | None = None) -> RecipeError:
        return refusal([*layers.found, LocatedIssue(where or stated.where, "base", message)])

    if stated.refused:
        raise refusal(layers.found)
    if not isinstance(stated.value, str):
        raise refuse(f"the path or shipped name of one recipe is wanted (got {display_value(stated.plain())})")
    try:
        base_path, which = find_recipe(stated.value, path.parent)
    except FileNotFoundError as error:
        raise refuse(f"{error} (got {stated.value!r})") from None
    if base_path.samefile(path):
        raise refuse("circular: a recipe cannot be its own base")
    base = _read(base_path, str(base_path), BASE, layers.found)
    if "base" in _keys(base):
        further = _keys(base)["base"]
        target = base_path.parent / str(further.value)
        if target.is_file() and (target.samefile(path) or target.samefile(base_path)):
            raise refuse(f"circular: {path} -> {base_path} -> {target}", further.where)
        raise refuse("a base has no base of its own; state what it takes from there, or build on that one", further.where)
    layers.root = _merge(base, layers.root, (), layers.notes)
    layers.notes.append(f"base: {which}")


def _merge(old: Node, new: Node, path: Keys, notes: list[str]) -> Node:
    """`new` over `old`: maps merge, all else replaces, a null drops."""
    if new.value is None and not new.refused:
        new.drops = True
    if not (isinstance(old.value, dict) and isinstance(new.value, dict)):
        return new
    kept = dict(old.value)
    if _matches(path, COMPONENTS) and _renamed(old, new):
        # What a --set gave is no leftover of the old component, whatever the order of the --sets.
        kept = {key: node for key, node in kept.items() if key in _OWN or node.where.layer == SET}
        _note_dropped(path, old, [key for key in old.value if key not in kept and key not in new.value], notes)
    kept = _other_form(kept, new.value, path, notes)
    for key, node in new.value.items():
        kept[key] = _merge(old.value[key], node, (*path, key), notes) if key in kept else node
    merged = Node(kept, new.where, new.key, new.folder)
    merged.refused = old.refused or new.refused
    return merged


def _other_form(old: dict[str, Node], new: dict[str, Node], path: Keys, notes: list[str]) -> dict[str, Node]:
    """`old` without the forms that `new` states another of; merged, they would be two."""
    for forms in FORMS:
        stated = [key for key, node in new.items() if key in forms and node.value is not None]
        gone = [key for key, node in old.items() if key in forms and key not in new and node.value is not None]
        if stated and gone and forms >= old.keys():
            notes.append(f"{dotted(path)}: {stated[0]} takes the place of {', '.join(gone)}")
            return {key: node for key, node in old.items() if key not in gone}
    return old


def _renamed(old: Node, new: Node) -> bool:
    before, after = _keys(old).get("name"), _keys(new).get("name")
    return before is not None and after is not None and after.value is not None and before.value != after.value


def _note_dropped(path: Keys, old: Node, dropped: Sequence[str], notes: list[str]) -> None:
    if dropped:
        name = _keys(old)["name"].value if "name" in _keys(old) else None
        notes.append(f"{dotted(path)}: the parameters of {display_value(name)} are dropped: {', '.join(dropped)}")


def _override(layers: Layers, text: str, where: Location, folder: Path) -> None:
    """Applies one `--set`, or says in `found` why it cannot be."""
    name, equals, value = text.partition("=")
    parts = [part.strip() for part in name.split(".")]
    wrong = None
    if not equals or not all(parts):
        name, wrong = "", "KEY=VALUE is wanted, such as --set losses.distill.weight=0.5"
    elif parts[0] == "base":
        wrong = "a base is stated in the recipe's file, not by --set"
    elif not value.strip():
        wrong = "no value; null drops a key"
    if wrong is None:
        new = parse(value, lambda line, column: where, folder, layers.found)
        wrong = None if new is None else _set(layers, parts, new)
    if wrong is not None:
        layers.found.append(LocatedIssue(where, name.strip(), wrong))


def _set(layers: Layers, parts: Sequence[str], new: Node) -> str | None:
    """Puts `new` where `parts` lead, making the maps on the way; what is wrong, where they lead nowhere."""
    holder, path = layers.root, list[str | int]()
    for part in parts:
        if path:
            below = holder.below(path[-1])
            if below is None or (below.value is None and not below.refused):
                below = Node({}, new.where, new.where, new.folder)
                _put(holder, path[-1], below)
            holder = below
        if holder.refused:
            return None  # it has been said already
        wrong = _no_step(holder, part, dotted(path))
        if wrong is not None:
            return wrong
        path.append(int(part) if isinstance(holder.value, list) else part)
    _assign(holder, path[-1], new, tuple(path), layers.notes)
    _spell_out(layers.root)
    return None


def _no_step(holder: Node, part: str, path: str) -> str | None:
    """Why `part` leads nowhere from `holder`; None where it leads on."""
    if isinstance(holder.value, dict):
        return None
    if not isinstance(holder.value, list):
        return f"{path} is {display_value(holder.value)}, and has nothing below it"
    size = len(holder.value)
    if re.fullmatch("[0-9]+", part) and int(part) < size:
        return None
    known = f"0 to {size - 1} are there" if size else "it is empty"
    return f"{path} is a list, and wants an index: {known} (got {part!r})"


def _put(holder: Node, key: str | int, node: Node) -> None:
    if isinstance(holder.value, dict):
        holder.value[str(key)] = node
    elif isinstance(holder.value, list):
        holder.value[int(key)] = node


def _assign(holder: Node, key: str | int, new: Node, path: Keys, notes: list[str]) -> None:
    """Replaces; but a component's name, given alone, is merged, so that whatever still fits it stays."""
    old = holder.below(key)
    if _matches(path, COMPONENTS) and old is not None:
        if isinstance(new.value, str):
            new = _merge(old, _named(new), path, notes)
        elif isinstance(new.value, dict):
            _note_dropped(path, old, [name for name in _keys(old) if name not in new.value], notes)
    elif key == "name" and _matches(path[:-1], COMPONENTS) and isinstance(new.value, str):
        merged = _merge(holder, _named(new), path[:-1], notes)
        holder.value = merged.value
        return
    if isinstance(holder.value, dict):
        holder.value = _other_form(holder.value, {str(key): new}, path[:-1], notes)
    new.drops = old is not None and new.value is None and not new.refused
    new.key = new.where
    _put(holder, key, new)


def _named(node: Node) -> Node:
    """`chordmixer` spelled out: `{name: chordmixer}`."""
    return Node({"name": node}, node.where, node.key, node.folder)


def _matches(path: Sequence[str | int], patterns: Iterable[tuple[str, ...]]) -> bool:
    return any(
        len(path) == len(pattern) and all(want in (ANY, part) for want, part in zip(pattern, path, strict=True))
        for pattern in patterns
    )


def _at(node: Node, pattern: Sequence[str]) -> Iterator[tuple[Node, str | int, Node]]:
    """Every (holder, key, node) that a pattern reaches."""
    keys: list[str | int] = []
    if isinstance(node.value, dict):
        keys = [key for key in node.value if pattern[0] in (ANY, key)]
    elif isinstance(node.value, list) and pattern[0] == ANY:
        keys = list(range(len(node.value)))
    for key in keys:
        below = node.below(key)
        if below is not None and len(pattern) == 1:
            yield node, key, below
        elif below is not None:
            yield from _at(below, pattern[1:])


def _spell_out(root: Node) -> None:
    """Turns every component that is just its name into a map."""
    for pattern in COMPONENTS:
        for holder, key, node in list(_at(root, pattern)):
            if isinstance(node.value, str) and not node.refused:
                _put(holder, key, _named(node))


def _absolute(root: Node) -> None:
    """Makes the paths absolute, each from the folder of whoever stated it."""
    for pattern in PATHS:
        for _, _, node in _at(root, pattern):
            if pattern == TASKS:
                absolute_task(node)
            elif node.value != BUILTIN:
                absolute(node)


def absolute_task(node: Node) -> None:
    """Makes a task's path absolute; the kit's own, `builtin` or a shipped one, keeps its name, unless a file is called so."""
    task = node.value
    if isinstance(task, str) and task != BUILTIN:
        shipped = task in shipped_task_files() and not os.path.exists(node.folder / task)  # noqa: PTH110 - as below
        if not shipped:
            absolute(node)


def absolute(node: Node) -> None:
    """Makes a path absolute, from the folder of whoever stated it."""
    if isinstance(node.value, str) and node.value:
        # Not resolve(), which follows links: the user's own name for the file is the one to keep.
        node.value = os.path.abspath(node.folder / os.path.expanduser(node.value))  # noqa: PTH100, PTH111


def components_in(root: Node) -> Iterator[tuple[str, Node]]:
    """Every component, with the registry that its name is looked up in."""
    for pattern, registry in COMPONENTS.items():
        for _, _, node in _at(root, pattern):
            yield registry, node

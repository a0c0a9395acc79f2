"""Merging a recipe's layers: the file, its `base:` below it, the `--set`s on top."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit.recipe.node_paths import Grammar, make_paths_absolute, reach
from findna_kit.recipe.shipped import find_recipe
from findna_kit.recipe.yaml_nodes import LocatedIssue, Location, Node, display_value, dotted, parse, read_text, refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.errors import RecipeError
    from findna_kit.plugins.kinds import Kind
    from findna_kit.recipe.node_paths import Keys

FILE, BASE, SET = range(3)


@dataclass
class Layers:
    """The merged document, the issues found on the way, and notes for the user on what was read and dropped."""

    root: Node
    found: list[LocatedIssue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    grammar: Grammar = field(default_factory=Grammar)


def read_layers(
    source: str | Path, overrides: Sequence[str], folder: Path | None = None, grammar: Grammar | None = None
) -> Layers:
    """Read and merge all layers. Raise RecipeError only for what leaves no document to validate.

    folder: what paths in the overrides start from; None: the working folder. grammar: None: that of the kit's own kinds.
    """
    issues: list[LocatedIssue] = []
    try:
        path, which = find_recipe(str(source), Path())
    except FileNotFoundError as error:
        raise refusal([LocatedIssue(Location(FILE, str(source)), "", str(error))]) from None
    grammar = grammar or Grammar()
    # A shipped name is shown with its path, so that the user can open the file; a path as it was given.
    root = _read(path, str(path) if path != Path(source) else str(source), FILE, issues, grammar)
    layers = Layers(root, issues, [f"recipe: {which}"], grammar)
    if "base" in _keys(root):
        _lay_on_base(layers, path)
    for number, text in enumerate(overrides):
        _override(layers, text, Location(SET, f"--set {text}", column=number), folder or Path.cwd())
    make_paths_absolute(layers.root)
    return layers


def _keys(node: Node) -> dict[str, Node]:
    """Return the keys of a map, and none for any other node."""
    return node.value if isinstance(node.value, dict) else {}


def _read(path: Path, name: str, layer: int, issues: list[LocatedIssue], grammar: Grammar) -> Node:
    """Return the nodes of a file. Raise RecipeError where it is no map of keys; other issues are added to `issues`."""
    text = read_text(path, name, layer)
    root = parse(text, lambda line, column: Location(layer, name, line, column), path.parent, issues)
    if root is None or not isinstance(root.value, dict):
        if root is not None and not root.refused:
            issues.append(LocatedIssue(root.where, "", f"a recipe is a map of keys (got {display_value(root.plain())})"))
        raise refusal(issues)
    # Before merging: a name over a map, or a map over a name, must merge as two maps.
    _spell_out(root, grammar)
    return root


def _lay_on_base(layers: Layers, path: Path) -> None:
    """Merge the file over its base. A base that cannot be read ends it: all that it states would seem to be missing."""
    stated = _keys(layers.root).pop("base")

    def refuse(message: str, where: Location | None = None) -> RecipeError:
        return refusal([*layers.found, LocatedIssue(where or stated.where, "base", message)])

    if stated.refused:
        raise refusal(layers.found)
    if not isinstance(stated.value, str):
        raise refuse(f"expected the path or shipped name of one recipe (got {display_value(stated.plain())})")
    try:
        base_path, which = find_recipe(stated.value, path.parent)
    except FileNotFoundError as error:
        raise refuse(f"{error} (got {stated.value!r})") from None
    # samefile, and no comparison of paths: a link, or another spelling of the path, would hide the circle.
    if base_path.samefile(path):
        raise refuse("circular: a recipe cannot be its own base")
    base = _read(base_path, str(base_path), BASE, layers.found, layers.grammar)
    if "base" in _keys(base):
        further = _keys(base)["base"]
        target = base_path.parent / str(further.value)
        if target.is_file() and (target.samefile(path) or target.samefile(base_path)):
            raise refuse(f"circular: {path} -> {base_path} -> {target}", further.where)
        raise refuse("a base has no base of its own; state what it takes from there, or build on that one", further.where)
    layers.root = _merge(layers, base, layers.root, ())
    layers.notes.append(f"base: {which}")


def _merge(layers: Layers, old: Node, new: Node, path: Keys) -> Node:
    """Return `new` laid over `old`: maps merge, everything else replaces, a null drops."""
    if new.value is None and not new.refused:
        new.drops = True
    # Lists replace: merging them by index would mix augmentations of two recipes.
    if not (isinstance(old.value, dict) and isinstance(new.value, dict)):
        return new
    remaining = dict(old.value)
    kind = layers.grammar.kind_at(path)
    if kind is not None and _renamed(old, new, kind):
        # Extra keys (`weight`, `rc`, `clip_norm`) belong to the place and not to the component, so they stay.
        # A value from a --set is no leftover of the old component, whatever the order of the --sets.
        own = ("name", *kind.keys)
        remaining = {key: node for key, node in remaining.items() if key in own or node.where.layer == SET}
        _note_dropped(layers, path, old, [key for key in old.value if key not in remaining and key not in new.value])
    remaining = _other_form(layers, remaining, new.value, path)
    # `in remaining` and not `in old.value`: what was dropped above must not come back below the new value.
    for key, node in new.value.items():
        remaining[key] = _merge(layers, old.value[key], node, (*path, key)) if key in remaining else node
    merged = Node(remaining, new.where, new.key, new.folder)
    merged.refused = old.refused or new.refused
    return merged


def _other_form(layers: Layers, old: dict[str, Node], new: dict[str, Node], path: Keys) -> dict[str, Node]:
    """Return `old` without the alternatives that `new` states another of; merged, there would be two."""
    for forms in layers.grammar.alternatives:
        stated = [key for key, node in new.items() if key in forms and node.value is not None]
        gone = [key for key, node in old.items() if key in forms and key not in new and node.value is not None]
        # A map with further keys is neither a schedule nor `data.validation`; one of its keys only has the name of a form.
        if stated and gone and forms >= old.keys():
            layers.notes.append(f"{dotted(path)}: {stated[0]} takes the place of {', '.join(gone)}")
            return {key: node for key, node in old.items() if key not in gone}
    # A schedule has two forms, {cosine: {...}} and {name: cosine, ...}; keys of both in one map would be refused.
    before, after = (_schedule_of(layers, keys, path) for keys in (old, new))
    if before and after and (before != after or ("name" in old) != ("name" in new)):
        layers.notes.append(f"{dotted(path)}: {after} takes the place of {before}")
        return {}
    return old


def _schedule_of(layers: Layers, keys: dict[str, Node], path: Keys) -> str | None:
    """Return the name of the schedule that a map states in either form, or None where it is no schedule."""
    schedules = layers.grammar.schedules
    if len(keys) == 1 and keys.keys() <= schedules:
        return next(iter(keys))
    # The recipe itself and every component have a key `name`, too. A schedule is a parameter, at least two keys deep.
    name = keys["name"].value if "name" in keys and layers.grammar.kind_at(path) is None and len(path) > 1 else None
    return name if isinstance(name, str) and name in schedules else None


def _renamed(old: Node, new: Node, kind: Kind) -> bool:
    """Return whether `new` names another component than `old`."""
    # A map without a name states parameters of the default component: naming that one renames nothing.
    before, after = _keys(old).get("name"), _keys(new).get("name")
    name = kind.default if before is None else before.value
    return name is not None and after is not None and after.value is not None and name != after.value


def _note_dropped(layers: Layers, path: Keys, old: Node, dropped: Sequence[str]) -> None:
    """Add a note on parameters that go with the component that had them."""
    if dropped:
        kind = layers.grammar.kind_at(path)
        default = None if kind is None else kind.default
        name = _keys(old)["name"].value if "name" in _keys(old) else default
        layers.notes.append(f"{dotted(path)}: the parameters of {display_value(name)} are dropped: {', '.join(dropped)}")


def _override(layers: Layers, text: str, where: Location, folder: Path) -> None:
    """Apply one `--set`, or add an issue that says why it cannot be applied."""
    name, equals, value = text.partition("=")
    parts = [part.strip() for part in name.split(".")]
    message = None
    if not equals or not all(parts):
        name, message = "", "expected KEY=VALUE, such as --set losses.distill.weight=0.5"
    elif parts[0] == "base":
        message = "a base is stated in the recipe's file, not by --set"
    elif not value.strip():
        message = "no value; null drops a key"
    if message is None:
        new = parse(value, lambda line, column: where, folder, layers.found)
        message = None if new is None else _set(layers, parts, new)
    if message is not None:
        layers.found.append(LocatedIssue(where, name.strip(), message))


def _set(layers: Layers, parts: Sequence[str], new: Node) -> str | None:
    """Put `new` at the path `parts`, creating maps on the way. Return a message where the path leads nowhere."""
    # Missing sections are created, so that `--set optimizer.clip_norm=1` works where a recipe has no optimizer.
    holder, path = layers.root, list[str | int]()
    for part in parts:
        if path:
            below = holder.below(path[-1])
            if below is None or (below.value is None and not below.refused):
                below = Node({}, new.where, new.where, new.folder)
                _put(holder, path[-1], below)
            holder = below
        # The place is unreadable, and what the user meant to change in it cannot be known.
        if holder.refused:
            return None  # its issue has been reported already
        message = _no_step(holder, part, dotted(path))
        if message is not None:
            return message
        path.append(int(part) if isinstance(holder.value, list) else part)
    _assign(layers, holder, path[-1], new, tuple(path))
    # The next --set may name a parameter of a component that this one stated as a bare name.
    _spell_out(layers.root, layers.grammar)
    return None


def _no_step(holder: Node, part: str, path: str) -> str | None:
    """Return why `part` leads nowhere from `holder`; None where it leads on."""
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
    """Set the value at a key or an index."""
    if isinstance(holder.value, dict):
        holder.value[str(key)] = node
    elif isinstance(holder.value, list):
        holder.value[int(key)] = node


def _assign(layers: Layers, holder: Node, key: str | int, new: Node, path: Keys) -> None:
    """Replace the value. The name of a component, given alone, is merged instead: parameters that still fit it stay."""
    old, kind = holder.below(key), layers.grammar.kind_at(path)
    if kind is not None and old is not None:
        if isinstance(new.value, str):
            new = _merge(layers, old, _named(new), path)
        elif isinstance(new.value, dict):
            _note_dropped(layers, path, old, [name for name in _keys(old) if name not in new.value])
    # `encoder.name=X` means the same as `encoder=X`.
    elif key == "name" and layers.grammar.kind_at(path[:-1]) is not None and isinstance(new.value, str):
        holder.value = _merge(layers, holder, _named(new), path[:-1]).value
        return
    if isinstance(holder.value, dict):
        holder.value = _other_form(layers, holder.value, {str(key): new}, path[:-1])
    # A null over a stated value drops the key; where nothing was stated it is the value null.
    new.drops = old is not None and new.value is None and not new.refused
    new.key = new.where
    _put(holder, key, new)


def _named(node: Node) -> Node:
    """Return the name of a component as a map: `chordmixer` becomes `{name: chordmixer}`."""
    return Node({"name": node}, node.where, node.key, node.folder)


def _spell_out(root: Node, grammar: Grammar) -> None:
    """Turn every component that is just its name into a map."""
    for pattern in grammar.components:
        for holder, key, node in list(reach(root, pattern)):
            if isinstance(node.value, str) and not node.refused:
                _put(holder, key, _named(node))

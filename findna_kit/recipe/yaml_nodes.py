"""Reading and writing of YAML 1.2. Text becomes nodes that know their line and column. No other module imports ruamel.

The text is composed, never constructed, and tags are refused: a recipe cannot make Python create or run anything.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from findna_kit.errors import Problem, RecipeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

DEPTH = 50
"""Largest depth of nesting: far beyond any recipe, and far below what would exhaust the stack."""
NODES = 20_000
"""Largest number of values in a document with its aliases expanded: a few lines of aliases can expand to billions."""

_CORE = "tag:yaml.org,2002:"
_PLAIN = {_CORE + name for name in ("int", "float", "bool", "null")}
# ruamel also resolves what YAML 1.2's core schema calls plain text.
_TEXT = {_CORE + name for name in ("str", "timestamp", "value", "merge")}


_HALVED = "half a character (a lone surrogate); write the character itself"


@dataclass(frozen=True, order=True)
class Location:
    """`file:line:column`; a `--set` (line 0, its number as column) shows its name alone. layer: recipe 0, base 1, `--set` 2."""

    layer: int
    # Not compared: problems of several --sets stand in the order of their numbers, and not of their texts.
    name: str = field(compare=False)
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Return the location in the form that editors understand."""
        return f"{self.name}:{self.line}:{self.column}" if self.line else self.name


@dataclass(frozen=True, order=True)
class LocatedIssue:
    """A problem and its location, before problems are sorted."""

    where: Location
    path: str
    message: str


@dataclass
class Node:
    """A value, where it and its key were written, and the folder that relative paths in it start from.

    refused: already reported; problems that follow from it are not. drops: a null that removes what an earlier layer stated.
    spelling: how a number, true or false was written.
    """

    value: dict[str, Node] | list[Node] | str | int | float | bool | None
    where: Location
    key: Location
    folder: Path
    refused: bool = False
    drops: bool = False
    spelling: str = ""

    def plain(self) -> Any:
        """Return maps, lists and scalars, without locations."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        return [node.plain() for node in self.value] if isinstance(self.value, list) else self.value

    def below(self, part: str | int) -> Node | None:
        """Return the node below a key or an index, or None."""
        if isinstance(self.value, dict):
            return self.value.get(str(part))
        if isinstance(self.value, list) and isinstance(part, int) and part < len(self.value):
            return self.value[part]
        return None


def refusal(found: Sequence[LocatedIssue], notes: Sequence[str] = ()) -> RecipeError:
    """Return one error with all problems, in the order of their locations."""
    return RecipeError([Problem(str(one.where), one.path, one.message) for one in sorted(set(found))], notes)


def dotted(path: Sequence[str | int]) -> str:
    """Return a path in the form `a.b.0`."""
    return ".".join(map(str, path))


def display_value(value: Any) -> str:
    """Return a value as YAML writes it, shortened for a message."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (dict, list, tuple)):
        return ("a map" if isinstance(value, dict) else "a list") if value else ("{}" if isinstance(value, dict) else "[]")
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def read_text(path: Path, name: str, layer: int) -> str:
    """Return the text of a file. Raise RecipeError where it cannot be read or is not UTF-8."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise refusal([LocatedIssue(Location(layer, name), "", f"cannot be read: {error.strerror}")]) from error
    try:
        # A byte order mark, which some editors write first, is no part of the text.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].split(b"\n")
        where = Location(layer, name, len(before), len(before[-1].decode("utf-8", "replace")) + 1)
        raise refusal(
            [LocatedIssue(where, "", f"not UTF-8 text (byte 0x{content[error.start]:02x}); save it as UTF-8")]
        ) from error


def read_plain(path: Path) -> dict[str, Any]:
    """Return a recipe's file as maps and lists, whatever components it names. Raise RecipeError where it is no map of keys."""
    found = list[LocatedIssue]()
    root = parse(read_text(path, str(path), 0), lambda line, column: Location(0, str(path), line, column), path.parent, found)
    plain = None if root is None or found else root.plain()
    if not isinstance(plain, dict):
        raise refusal(found or [LocatedIssue(Location(0, str(path), 1, 1), "", "a recipe is a map of keys")])
    return plain


def parse(text: str, at: Callable[[int, int], Location], folder: Path, found: list[LocatedIssue]) -> Node | None:
    """Return the nodes of a document, or None where the text is no YAML; issues are added to `found`.

    at: returns the location of a line and a column, both counted from 1. folder: what relative paths in the text start from.
    """
    # ruamel would read a document of YAML 1.1 by other rules: `yes` would be true, and 010 would be 8.
    version = re.search(r"^%YAML\s+(?!1\.2\b)(\S+)", text, re.MULTILINE)
    if version:
        found.append(LocatedIssue(at(1, 1), "", f"recipes are YAML 1.2 (got {version[1]}); leave the %YAML line out"))
        return None
    yaml = YAML(typ="safe", pure=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # YAML allows it, and the last one counts
            root = yaml.compose(text)
    except RecursionError:
        found.append(LocatedIssue(at(1, 1), "", f"nested more than {DEPTH} levels deep"))
        return None
    except YAMLError as error:
        found.append(_syntax(error, text, at))
        return None
    if root is None:
        found.append(LocatedIssue(at(1, 1), "", "empty; a recipe is a map of keys"))
        return None
    walk = _Walk(yaml.constructor, at, folder, found)
    node = walk.node(root, (), None)
    if walk.limit is not None:
        found.append(walk.limit)
        return None
    return node


def dump(tree: Any) -> str:
    """Return plain maps, lists and scalars as YAML, in their order."""
    text = _written(tree, readable=True)
    # YAML reads these characters as line ends, or skips them, and ruamel does not escape them in readable text.
    return _written(tree, readable=False) if re.search("[\x85\u2028\u2029\ufeff]", text) else text


def _written(tree: Any, *, readable: bool) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel declares it None
    yaml.allow_unicode = readable
    # Folded lines would make the saved recipe depend on the width of a value.
    yaml.width = 2**16
    stream = StringIO()
    yaml.dump(tree, stream)
    return stream.getvalue()


def _syntax(error: YAMLError, text: str, at: Callable[[int, int], Location]) -> LocatedIssue:
    if isinstance(error, ReaderError):
        before = text[: error.position].split("\n")
        where = at(len(before), len(before[-1]) + 1)
        return LocatedIssue(where, "", f"the character {chr(ord(text[error.position]))!r} is not allowed in YAML")
    mark = (error.problem_mark or error.context_mark) if isinstance(error, MarkedYAMLError) else None
    if not isinstance(error, MarkedYAMLError) or mark is None:
        return LocatedIssue(at(1, 1), "", f"not valid YAML: {error}")
    where = at(mark.line + 1, mark.column + 1)
    if mark.index < len(text) and text[mark.index] == "\t":
        return LocatedIssue(where, "", "a tab; YAML is indented with spaces")
    if "single document" in (error.context or ""):
        return LocatedIssue(where, "", "a second document starts here; a recipe is one document")
    return LocatedIssue(where, "", "not valid YAML: " + ", ".join(filter(None, (error.context, error.problem))))


def _halved(text: str) -> bool:
    """Return whether the text has a lone surrogate, which no encoding can write."""
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


class _Walk:
    """Conversion of composed YAML to nodes. Issues are added to `found`, and the conversion continues."""

    def __init__(self, constructor: Any, at: Callable[[int, int], Location], folder: Path, found: list[LocatedIssue]) -> None:
        self._constructor, self._at, self._folder, self._found = constructor, at, folder, found
        self._left = NODES
        self.limit: LocatedIssue | None = None

    def node(self, raw: Any, path: tuple[str | int, ...], key: Location | None) -> Node:
        where = self._at(raw.start_mark.line + 1, raw.start_mark.column + 1)
        if key is not None and isinstance(raw, ScalarNode) and raw.value == "" and raw.start_mark.index == raw.end_mark.index:
            where = key  # an empty value: ruamel would point at the next token
        node = Node(None, where, key or where, self._folder)
        # Aliases are expanded here, so both limits count what they stand for.
        self._left -= 1
        if len(path) > DEPTH or self._left <= 0:
            limit = f"nested more than {DEPTH} levels deep" if len(path) > DEPTH else f"more than {NODES} values"
            self.limit = LocatedIssue(where, dotted(path[:3]), f"{limit}; does an alias (*) stand for itself?")
            return node
        # The tag is checked with the type of the node: `!!set` is written as a map, but means something else.
        if isinstance(raw, MappingNode) and raw.tag == _CORE + "map":
            node.value = self._map(raw, path, node)
        elif isinstance(raw, SequenceNode) and raw.tag == _CORE + "seq":
            items = enumerate(raw.value)
            node.value = [self.node(item, (*path, index), None) for index, item in items if self.limit is None]
        elif isinstance(raw, ScalarNode) and raw.tag in _PLAIN | _TEXT:
            self._scalar(raw, path, node)
        else:
            tag = str(raw.tag).replace(_CORE, "!!")
            self._refuse(node, path, f"YAML tags are refused (got {tag}); leave it out")
        return node

    def _refuse(self, node: Node, path: tuple[str | int, ...], message: str, where: Location | None = None) -> Node:
        node.refused = True
        self._found.append(LocatedIssue(where or node.where, dotted(path), message))
        return node

    def _map(self, raw: Any, path: tuple[str | int, ...], node: Node) -> dict[str, Node]:
        value: dict[str, Node] = {}
        for name, item in raw.value:
            where = self._at(name.start_mark.line + 1, name.start_mark.column + 1)
            if name.tag == _CORE + "merge":
                self._refuse(node, path, "merge keys (<<) are no part of YAML 1.2; write the keys out, or use base:", where)
            elif not isinstance(name, ScalarNode) or name.tag not in _TEXT:
                self._refuse(node, path, "a key is a word; put others in quotes", where)
            elif _halved(name.value):
                self._refuse(node, path, _HALVED, where)
            # ruamel's constructor checks for duplicates; a composed document has not passed it.
            elif name.value in value:
                first = value[name.value].key
                message = f"duplicate key, first written in line {first.line}; keep one of them"
                self._found.append(LocatedIssue(where, dotted((*path, name.value)), message))
            elif self.limit is None:
                value[name.value] = self.node(item, (*path, name.value), where)
        return value

    def _scalar(self, raw: Any, path: tuple[str | int, ...], node: Node) -> None:
        # Not given to the constructor, which would turn 2024-01-01 into a date.
        if raw.tag in _TEXT:
            node.value = raw.value
            if _halved(raw.value):
                self._refuse(node, path, _HALVED)
            return
        try:
            value = self._constructor.construct_object(raw)
        except (ValueError, KeyError, IndexError):
            self._refuse(node, path, f"{display_value(raw.value)} cannot be read as {raw.tag.removeprefix(_CORE)}")
            return
        node.value, node.spelling = value, "" if value is None else raw.value
        if isinstance(value, int) and abs(value) >= 2**63:
            node.value = None
            self._refuse(node, path, f"expected a number of at most 64 bits (got {display_value(raw.value)})")
        if isinstance(value, float) and not math.isfinite(value):
            node.value = None
            self._refuse(node, path, f"expected a finite number (got {raw.value})")

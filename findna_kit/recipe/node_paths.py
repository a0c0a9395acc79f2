"""Paths through a recipe's nodes: where components are named, which values are file paths, and how these become absolute."""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit.plugins.kinds import ANY, KINDS
from findna_kit.recipe.shipped import shipped_task_files
from findna_kit.schedules import SHAPES
from findna_kit.settings import ON_VALIDATION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from findna_kit.plugins.kinds import Kind
    from findna_kit.plugins.registry import Components
    from findna_kit.recipe.yaml_nodes import Node

Keys = tuple[str | int, ...]
BUILTIN = "builtin"
TASKS = ("evaluation", "tasks", ANY)
_BEDS = (("include",), ("exclude",), ("validation", "bed"))
PATHS = (
    # `data.genome` is one path, or a list of genomes that have a path and BED files each.
    ("init_from", "run"), TASKS, ("data", "genome"), ("data", "genome", ANY, "path"),
    *(("data", *bed) for bed in _BEDS), *(("data", "genome", ANY, *bed) for bed in _BEDS),
)  # fmt: skip
"""Values that are file paths, unless they are `builtin`."""


@dataclass(frozen=True)
class Grammar:
    """What must be known of the components before a document can be merged: the kinds, and the names of the schedules."""

    kinds: tuple[Kind, ...] = KINDS
    schedules: frozenset[str] = frozenset(SHAPES)

    @classmethod
    def of(cls, components: Components) -> Grammar:
        """Return the grammar of the registered components."""
        return cls(components.kinds, frozenset(components.schedules))

    @property
    def components(self) -> dict[tuple[str, ...], Kind]:
        """Return the kinds that a key of the recipe names, by the pattern of that key."""
        return {kind.path: kind for kind in self.kinds if kind.path}

    def kind_at(self, path: Sequence[str | int]) -> Kind | None:
        """Return the kind of the component at `path`, or None where there is none."""
        return next((kind for pattern, kind in self.components.items() if matches(path, (pattern,))), None)

    @property
    def alternatives(self) -> tuple[frozenset[str], ...]:
        """Return the sets of keys of which a map holds exactly one: the name of a schedule, the form of `data.validation`."""
        return self.schedules, frozenset({"share", "contigs", "bed"})


def matches(path: Sequence[str | int], patterns: Iterable[tuple[str, ...]]) -> bool:
    """Return whether the path fits one of the patterns, in which ANY stands for any key or index."""
    return any(
        len(path) == len(pattern) and all(expected in (ANY, part) for expected, part in zip(pattern, path, strict=True))
        for pattern in patterns
    )


def reach(node: Node, pattern: Sequence[str]) -> Iterator[tuple[Node, str | int, Node]]:
    """Iterate over every (holder, key, node) that a pattern leads to."""
    # A key is matched in maps and an index in lists; a document of another shape is reported by validation.
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
            yield from reach(below, pattern[1:])


def make_paths_absolute(root: Node) -> None:
    """Make the file paths of the recipe absolute, each from the folder of the file that states it."""
    for pattern in PATHS:
        for _, _, node in reach(root, pattern):
            if pattern == TASKS:
                absolute_task(node)
            elif node.value != BUILTIN:
                absolute(node)


def absolute_task(node: Node) -> None:
    """Make a task's path absolute. A name that comes with the kit stays, unless there is a file of that name."""
    if not isinstance(node.value, str):
        return
    # `@validation` names a split of the task; it is not a part of the path.
    task = node.value.removesuffix(ON_VALIDATION)
    if task != BUILTIN:
        # A file of the user takes precedence over a shipped task of the same name, as for recipes.
        shipped = task in shipped_task_files() and not os.path.exists(node.folder / task)  # noqa: PTH110 - as below
        if not shipped:
            absolute(node)


def absolute(node: Node) -> None:
    """Make a path absolute, from the folder of the file that states it."""
    if node.spelling and isinstance(node.value, (int, float)):
        node.value = node.spelling  # a file may be called 01
    if isinstance(node.value, str) and node.value:
        # Not resolve(), which follows links: the user's own name for the file is the one to keep.
        node.value = os.path.abspath(node.folder / os.path.expanduser(node.value))  # noqa: PTH100, PTH111

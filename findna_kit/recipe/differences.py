"""What differs between two recipes, for who continues a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from findna_kit.recipe.document import dotted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from findna_kit.recipe.schema import Recipe

_MAY_DIFFER = {f"trainer.{key}" for key in ("keep_last", "log_every", "checkpoint_every", "devices", "nodes")}


def differences(saved: Recipe, wanted: Recipe) -> list[str]:
    """`path: saved value -> wanted value` for every key that a resumed run needs equal; none: it may go on."""
    before, after = dict(_leaves(saved.plain(), ())), dict(_leaves(wanted.plain(), ()))
    paths = [path for path in dict.fromkeys([*before, *after]) if path not in _MAY_DIFFER]
    return [
        f"{path}: {before.get(path, 'not stated')} -> {after.get(path, 'not stated')}"
        for path in paths
        if before.get(path) != after.get(path)
    ]


def _leaves(tree: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(tree, (dict, list)) and tree:
        for key, below in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _leaves(below, (*path, key))
    else:
        yield dotted(path), "null" if tree is None else repr(tree)

"""What differs between two recipes, for who continues a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from findna_kit.recipe.yaml_nodes import dotted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from findna_kit.recipe.schema import Recipe

_MAY_DIFFER = {f"trainer.{key}" for key in ("keep_last", "log_every", "checkpoint_every", "devices", "nodes", "requeue")}


def diff(saved: Recipe, wanted: Recipe) -> list[str]:
    """`path: saved value -> wanted value` for every key that a resumed run needs equal; none: it may go on."""
    changed = changes(saved.plain(), wanted.plain())
    return [sentence for path, sentence in changed.items() if path not in _MAY_DIFFER]


def changes(saved: Any, wanted: Any, *path: str) -> dict[str, str]:
    """`path: saved value -> wanted value` by path, for everything below `path` that differs between two plain trees."""
    before, after = dict(leaves(saved, path)), dict(leaves(wanted, path))
    return {
        key: f"{key}: {before.get(key, 'not stated')} -> {after.get(key, 'not stated')}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    }


def leaves(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str, str]]:
    """Every path of a plain tree that ends, and the value there as text."""
    if isinstance(tree, (dict, list)) and tree:
        for key, below in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from leaves(below, (*path, key))
    else:
        yield dotted(path), "null" if tree is None else repr(tree)

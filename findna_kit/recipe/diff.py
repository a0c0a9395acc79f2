"""Differences between two recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from findna_kit.recipe.yaml_nodes import dotted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from findna_kit.recipe.schema import Recipe

# These do not change what is computed.
# `devices` and `nodes` change losses by rounding only, since the batch size is global (docs/cluster.md).
_MAY_DIFFER = {f"trainer.{key}" for key in ("keep_last", "log_every", "checkpoint_every", "devices", "nodes", "requeue")}


def diff(saved: Recipe, requested: Recipe) -> dict[str, str]:
    """Return `path: saved value -> requested value` by path, for every difference that a resumed run must not have."""
    changed = changes(saved.plain(), requested.plain())
    return {path: line for path, line in changed.items() if path not in _MAY_DIFFER}


def changes(saved: Any, requested: Any, *path: str) -> dict[str, str]:
    """Return `path: saved value -> requested value` by path, for every difference between two plain trees below `path`."""
    before, after = dict(leaves(saved, path)), dict(leaves(requested, path))
    return {
        key: f"{key}: {before.get(key, 'not stated')} -> {after.get(key, 'not stated')}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    }


def leaves(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str, str]]:
    """Iterate over the leaves of a plain tree: the path of each, and its value as text."""
    if isinstance(tree, (dict, list)) and tree:
        for key, below in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from leaves(below, (*path, key))
    else:
        # repr tells the text '1' from the number 1. An empty map or list is a leaf, so that emptying one is a difference.
        yield dotted(path), "null" if tree is None else repr(tree)

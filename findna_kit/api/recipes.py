"""Loading and checking a recipe from Python: the same reader, and the same errors, as `findna-kit check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from findna_kit.api import preparation
from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from findna_kit.recipe import Recipe


def load_recipe(source: str | Path, /, *, without: Sequence[str] = (), **overrides: Any) -> Recipe:
    """Return the recipe at `source`, a path or a shipped name, checked as `findna-kit check` does.

    overrides: values by their key, as for `--set`; a key with dots goes in a dict: `**{"data.genome": "my.fa.gz"}`. None drops
    a key. without: plugins that are not loaded. The recipe's keys are attributes: `recipe.data.genome`. Raises FindnaError:
    RecipeError with every problem at once, and for files and tasks that do not exist.
    """
    recipe, _, _ = preparation.load(str(source), override_texts(overrides), without)
    preparation.dry_assemble(recipe)
    return recipe


def override_texts(overrides: Mapping[str, Any]) -> list[str]:
    """Return the overrides as `KEY=VALUE`, as `--set` takes them. Raises FindnaError for a value that YAML cannot state."""
    texts = []
    for key, value in overrides.items():
        try:
            # JSON is YAML, too, and quotes a text that would be read as a number.
            text = json.dumps(value, default=_plain, allow_nan=False, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            raise FindnaError(f"{key}: a recipe holds texts, numbers, true, false, lists and maps (got {value!r})") from error
        texts.append(f"{key}={text}")
    return texts


def _plain(value: Any) -> Any:
    """Return a path as text, and a number of numpy or torch as Python's. Raises TypeError for anything else."""
    if isinstance(value, Path):
        return str(value)
    if callable(item := getattr(value, "item", None)):
        return item()
    raise TypeError(type(value).__name__)

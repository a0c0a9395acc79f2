"""Checks and log lines of a resumed run: the recipe and the genomes must be the same, and other differences are logged.

A genome or a BED file may have moved: digests are compared, and the new path is saved.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from findna_kit import checkpoint
from findna_kit.atomic import atomic_write
from findna_kit.errors import FindnaError
from findna_kit.recipe import diff, load_recipe
from findna_kit.records.paths import RECIPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from findna_kit.plugins.registry import Components
    from findna_kit.recipe import Recipe
    from findna_kit.records.run_json import GenomeRecord, ResolvedSettings

_REMEDY = "--resume needs the same one; leave out RECIPE and --set to use it. The differences"


def first_line(recipe: Recipe, folder: Path, *, resuming: bool) -> str:
    """Return the first log line of a run: its steps and folder, and the step from which it is resumed."""
    line = f"{recipe.name}: {recipe.steps} steps in {folder}"
    if not resuming:
        return line
    step = checkpoint.find_step(folder)
    return f"{line}, " + ("which is complete: nothing to train" if step == recipe.steps else f"resumed at step {step}")


def check_same_recipe(folder: Path, recipe: Recipe, components: Components) -> dict[str, str]:
    """Return the keys of genome and BED files that have other paths now, each with a line that has both paths.

    Raises FindnaError, which lists them, if anything else differs from the recipe that the run in `folder` was started with.
    """
    saved = load_recipe(folder / RECIPE, components)
    files = {f"data.{key}" for key in saved.data.files.keys() & recipe.data.files.keys()}
    # The content of these files is compared when it has been read (`check_same_genomes`).
    differences = diff(saved, recipe)
    moved = {key: differences.pop(key) for key in list(differences) if key in files}
    lines = list(differences.values())
    # The schedules of a run depend on its number of steps, so a finished run cannot be continued with more.
    if "steps" in differences:
        lines.append(
            "to train for more steps, start a new run from the weights of this one: "
            f"--set 'init_from={{run: {folder}, parts: [encoder, heads]}}' without --resume"
        )
    if lines:
        raise FindnaError("\n  ".join([f"{folder}: was started with another recipe; {_REMEDY}:", *lines]))
    return moved


def save_moved_files(
    folder: Path, recipe: Recipe, moved: Mapping[str, str], components: Components, log: Callable[[str], None]
) -> None:  # fmt: skip
    """Write the new paths of files with the same content into the run's recipe.yaml, and log them."""
    if not moved:
        return
    overrides = [f"{key}={json.dumps(recipe.data.files[key.removeprefix('data.')])}" for key in moved]
    # Nothing else of the saved recipe changes, such as settings of the trainer that may differ.
    saved = load_recipe(folder / RECIPE, components, overrides=overrides)
    with atomic_write(folder / RECIPE) as temporary:
        temporary.write_text(saved.dump())
    for line in moved.values():
        log(f"the same content at another path: {line}; saved in {folder / RECIPE}")


def check_same_genomes(folder: Path, recorded: Sequence[GenomeRecord], genomes: Sequence[GenomeRecord]) -> None:
    """Raise FindnaError if a genome's bases or its training and validation regions are not those that the run recorded.

    A new run has recorded no genomes yet. The number of genomes is compared with the recipe.
    """
    for old, new in zip(recorded, genomes, strict=False):
        # Digests, not paths: the file may have moved.
        if old.digest != new.digest:
            raise FindnaError(f"{new.path}: is not the file that {folder} was started with (another digest); restore it")
        if old.parts != new.parts:
            raise FindnaError(f"{folder}: was started with other regions of {new.path}: a BED file has changed; restore it")


def log_changed_settings(before: ResolvedSettings, now: ResolvedSettings, log: Callable[[str], None]) -> None:
    """Log every resolved setting that differs from the earlier part of the run."""
    # A difference is allowed, since a run may continue on another machine.
    recorded = before.to_json()
    for name, value in now.to_json().items():
        if name in recorded and recorded[name] != value:
            log(f"resumed with {name} {value}, was {recorded[name]}: equal to rounding, not bit for bit")

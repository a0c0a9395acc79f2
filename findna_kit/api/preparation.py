"""First steps of most commands: load the plugins, load the recipe, check what it refers to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from findna_kit.api.terminal import log
from findna_kit.assemble import assemble
from findna_kit.distributed import current_launch
from findna_kit.errors import FindnaError, TaskError
from findna_kit.evaluation import load_task
from findna_kit.evaluation.task_scores import scored_rows
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import Recipe, load_recipe
from findna_kit.records.missing_components import refuse_missing
from findna_kit.runs import take_initial_weights
from findna_kit.study.check import check_study

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.study.check import CheckedStudy
    from findna_kit.trainer import Experiment


class LoadedRecipe(NamedTuple):
    """A recipe, and what it was read with."""

    recipe: Recipe
    components: Components
    plugins: list[Plugin]


def load(
    source: str | Path | Recipe, overrides: Sequence[str], without: Sequence[str], resume: Path | None = None
) -> LoadedRecipe:  # fmt: skip
    """Load the plugins and a recipe, and log the notes of its reader. A recipe that is loaded already is returned as it is.

    resume: the folder of a run to continue. Raises FindnaError if one of its components is missing, with where that came from.
    """
    components, plugins = load_plugins(without)
    failed = [plugin for plugin in plugins if plugin.failure]
    if resume is not None:
        refuse_missing(resume, components, failed)
    if isinstance(source, Recipe):
        return LoadedRecipe(source, components, plugins)
    recipe = load_recipe(source, components, overrides=overrides, failed=failed)
    launch = current_launch()
    # Of several processes only the first one logs; where the kit started them itself, its parent has logged the notes already.
    if launch is None or (launch.rank == 0 and launch.launcher != "findna-kit"):
        for note in recipe.notes:
            log(note)
    return LoadedRecipe(recipe, components, plugins)


def load_study(source: str, without: Sequence[str]) -> CheckedStudy:
    """Load the plugins and a study, and check every condition as `dry_assemble` does. Raises FindnaError with all problems."""
    components, plugins = load_plugins(without)
    return check_study(source, components=components, plugins=plugins, check=dry_assemble)


def check_files(recipe: Recipe) -> None:
    """Check that every file of the recipe exists and that every task can be scored after training.

    Raises FindnaError that lists all that are missing or invalid.
    """
    paths = {f"data.{key}": path for key, path in recipe.data.files.items()} | recipe.component_files()
    if recipe.init_from is not None:
        paths["init_from.run"] = recipe.init_from.run
    # All problems are reported at once.
    problems = [
        f"{key}: {path}: {reason} (another path: --set {key}=PATH)"
        for key, path in paths.items()
        if (reason := _unreachable(path))
    ]
    for number, task in enumerate(recipe.evaluation.tasks):
        try:
            # A task that cannot be scored should fail now and not after hours of training.
            scored_rows(load_task(task))
        except TaskError as error:
            problems.append(f"evaluation.tasks.{number}: {error}")
    if problems:
        raise FindnaError("\n".join(problems))


def _unreachable(path: str) -> str | None:
    """Return why a file cannot be reached, or None if it can."""
    try:
        Path(path).stat()
    except FileNotFoundError:
        return "no such file or folder"
    except (OSError, ValueError) as error:
        return f"cannot be reached: {error.strerror if isinstance(error, OSError) else error}"
    return None


def dry_assemble(recipe: Recipe) -> Experiment:
    """Assemble the recipe on the meta device, check its files and log the remarks of `init_from`.

    Raises FindnaError for anything that would fail a run before its first step, except for the content of the genome.
    """
    # On the meta device tensors have shapes but no memory, so that any size is assembled at once.
    experiment = assemble(recipe, device="meta")
    check_files(recipe)
    for remark in take_initial_weights(experiment, recipe):
        log(remark)
    return experiment

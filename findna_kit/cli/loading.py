"""What most commands begin with: plugins, then the recipe; and what is said of either."""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError, TaskError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.recipe import Recipe
    from findna_kit.trainer import Experiment


def say(sentence: str) -> None:
    """Progress and remarks go to stderr; stdout is for results."""
    print(sentence, file=sys.stderr, flush=True)


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Inside, no cyclic garbage is looked for.

    What importing torch and plugins makes stays: going over it again and again is half of what a listing costs beside torch.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def say_failures(plugins: Sequence[Plugin]) -> None:
    """A line for each plugin that did not load."""
    for plugin in plugins:
        if plugin.failure is not None:
            say(str(plugin))


def refuse_bad_files(recipe: Recipe) -> None:
    """FindnaError for every path of the recipe where nothing is, and every task that could not be scored after training."""
    from findna_kit.evaluation import load_task
    from findna_kit.evaluation.task_scores import scored_rows

    stated = {f"data.{key}": path for key, path in recipe.data.files.items()} | recipe.component_files()
    if recipe.init_from is not None:
        stated["init_from.run"] = recipe.init_from.run
    wrong = [f"{key}: {path}: {why}" for key, path in stated.items() if (why := _unreachable(path))]
    for number, task in enumerate(recipe.evaluation.tasks):
        try:
            scored_rows(load_task(task))
        except TaskError as error:
            wrong.append(f"evaluation.tasks.{number}: {error}")
    if wrong:
        raise FindnaError("\n".join(wrong))


def examine(recipe: Recipe) -> Experiment:
    """The recipe assembled without memory, once all is there that it names; says what `init_from` remarks.

    FindnaError for what would fail a run before its first step, but for what is in the genome.
    """
    from findna_kit.assemble import assemble
    from findna_kit.runs import take_initial_weights

    experiment = assemble(recipe, device="meta")
    refuse_bad_files(recipe)
    for remark in take_initial_weights(experiment, recipe):
        say(remark)
    return experiment


def _unreachable(path: str) -> str | None:
    """Why there is no such file, or None where there is."""
    try:
        Path(path).stat()
    except FileNotFoundError:
        return "no such file or folder"
    except (OSError, ValueError) as error:
        return f"cannot be reached: {error.strerror if isinstance(error, OSError) else error}"
    return None


def load(source: str, overrides: Sequence[str], without: Sequence[str]) -> tuple[Recipe, Components, list[Plugin]]:
    """A recipe and what it was chosen from; says what its reader remarked."""
    from findna_kit.distributed import current_launch
    from findna_kit.plugins.loading import load_plugins
    from findna_kit.recipe import load_recipe

    components, plugins = load_plugins(without)
    recipe = load_recipe(source, components, overrides=overrides, failed=[plugin for plugin in plugins if plugin.failure])
    launch = current_launch()
    if launch is None or (launch.rank == 0 and launch.launcher != "findna-kit"):  # which has said it before it started others
        for note in recipe.notes:
            say(note)
    return recipe, components, plugins

"""Training from Python: `findna_kit.run`, and the function that the command `run` shares with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit.api import preparation
from findna_kit.api.progress import TrainingProgress, reading_bar
from findna_kit.api.run import Run
from findna_kit.api.terminal import log
from findna_kit.errors import FindnaError, Interrupted
from findna_kit.records.paths import RECIPE
from findna_kit.runs import Reporters, RunLocation, recipe_scoring, start
from findna_kit.trainer import Observer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.api.preparation import LoadedRecipe
    from findna_kit.recipe import Recipe
    from findna_kit.runs import RunResult


def run(
    recipe: Recipe | str | Path | None = None, *, out: str | Path | None = None, resume: str | Path | None = None,
    overwrite: bool = False, device: str = "auto", report: Sequence[str] = (), evaluate: bool = True,
    without: Sequence[str] = (),
) -> Run:  # fmt: skip
    """Train a recipe, score the tasks that it names, and return the run; `findna-kit run` does the same.

    recipe: as `load_recipe` returns it, a path, or a shipped name; None: that of the run in `resume`. out: the run's folder,
    by default runs/NAME-1, -2, ... resume: a folder with a run to continue, or to start there. report: reporters of plugins.
    evaluate: whether to score the recipe's tasks.

    An interrupt (of the kernel, or Ctrl-C) saves the state after the current step and raises Interrupted; `run(resume=...)`
    continues, and the result equals that of an uninterrupted run. Raises FindnaError for wrong input; RunStopped.
    """
    location = location_of(out, resume, overwrite=overwrite)
    loaded = preparation.load(recipe if recipe is not None else recipe_to_resume(location.resume), [], without, location.resume)
    preparation.check_files(loaded.recipe)
    try:
        result = train(loaded, location, device=device, reporters=Reporters(report))
    except Interrupted as stopped:
        hint = "in Python, findna_kit.run(resume=FOLDER) continues"
        raise Interrupted(stopped.signal_number, f"{stopped}; {hint}") from stopped
    finished = Run(result.folder, device=device, without=without)
    if evaluate and loaded.recipe.evaluation.tasks and result.is_main_process:
        finished.score(loaded.recipe.evaluation.tasks, recipe_scoring(loaded.recipe, device, without))
    return finished


def train(loaded: LoadedRecipe, location: RunLocation, *, device: str, reporters: Reporters) -> RunResult:
    """Train a recipe whose files have been checked, with a bar or a log of its progress. Raises as `runs.start` does."""
    with reading_bar() as reading, TrainingProgress(loaded.recipe.steps) as training:
        return start(
            loaded.recipe, location, components=loaded.components, plugins=loaded.plugins, device=device,
            observer=Observer(log, reading, training), reporters=reporters,
        )  # fmt: skip


def location_of(out: str | Path | None, resume: str | Path | None, *, overwrite: bool) -> RunLocation:
    """Return where the run is written. Raises FindnaError if both a new folder and one to resume are given."""
    if out is not None and resume is not None:
        raise FindnaError("--out and --resume each name a folder: give one of them")
    return RunLocation(None if out is None else Path(out), None if resume is None else Path(resume), overwrite)


def recipe_to_resume(folder: Path | None) -> str:
    """Return the path of the recipe that the run in `folder` was started with. Raises FindnaError if there is none."""
    if folder is None:
        raise FindnaError(
            "name a RECIPE, or the folder of a run with --resume; `findna-kit recipes list` lists the shipped ones"
        )
    path = folder / RECIPE
    if not path.is_file():
        raise FindnaError(
            f"{path}: no such file; give the folder of a run, or start one there: findna-kit run RECIPE --resume {folder}"
        )
    return str(path)

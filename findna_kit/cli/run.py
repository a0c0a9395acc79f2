"""The command `run`: train a recipe, print what came out, and evaluate it."""

from __future__ import annotations

import sys
from pathlib import Path
from signal import SIGUSR2
from typing import TYPE_CHECKING, Annotated

import typer

from findna_kit.cli.completion import complete_recipe, complete_reporter
from findna_kit.cli.console import log, print_line
from findna_kit.cli.evaluate import print_scores
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import RECIPE_HELP, Device, Overrides, Without
from findna_kit.errors import FindnaError
from findna_kit.records.paths import RECIPE

if TYPE_CHECKING:
    from findna_kit import distributed, evaluation, runs, trainer
    from findna_kit.cli import preparation, progress, training_summary
    from findna_kit.recipe import Recipe
    from findna_kit.runs import processes
else:
    distributed, evaluation = LazyModule("findna_kit.distributed"), LazyModule("findna_kit.evaluation")
    runs, processes = LazyModule("findna_kit.runs"), LazyModule("findna_kit.runs.processes")
    trainer = LazyModule("findna_kit.trainer")
    preparation, progress = LazyModule("findna_kit.cli.preparation"), LazyModule("findna_kit.cli.progress")
    training_summary = LazyModule("findna_kit.cli.training_summary")


OptionalRecipe = Annotated[
    str | None,
    typer.Argument(metavar="RECIPE", autocompletion=complete_recipe, help=f"{RECIPE_HELP} [default: that of --resume]"),
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Write the run to this folder. [default: runs/NAME-1, -2, ...]")
]
Resume = Annotated[
    Path | None, typer.Option("--resume", metavar="DIR", help="Resume the run in this folder, or start it there.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run in the folder of --out.")]
ReporterNames = Annotated[
    list[str] | None,
    typer.Option(
        "--report",
        metavar="NAME",
        autocompletion=complete_reporter,
        help="Send the metrics to this reporter of a plugin. Repeatable.",
    ),
]


def run(
    recipe: OptionalRecipe = None,
    out: Out = None,
    resume: Resume = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    report: ReporterNames = None,
    overrides: Overrides = None,
    without: Without = None,
) -> None:
    """Train a recipe, evaluate it and write a run folder."""
    if out is not None and resume is not None:
        raise FindnaError("--out and --resume each name a folder: give one of them")
    source = recipe if recipe is not None else _recipe_to_resume(resume)
    loaded, components, plugins = preparation.load(source, overrides or [], without or [])
    preparation.check_files(loaded)
    # Under torchrun or Slurm the processes exist already; otherwise this process starts and supervises them.
    if distributed.current_launch() is None and loaded.trainer.devices * loaded.trainer.nodes > 1:
        sys.exit(_start_processes(loaded))
    # Reporters are imported before the run folder is created, so that a wrong name leaves nothing behind.
    reporters = runs.Reporters(report or [])
    with progress.reading_bar() as reading, progress.TrainingProgress(loaded.steps) as training:
        result = runs.start(
            loaded, runs.RunLocation(out, resume, overwrite), components=components, plugins=plugins, device=device,
            observer=trainer.Observer(log, reading, training), reporters=reporters,
        )  # fmt: skip
    if not result.is_main_process:  # of several processes only the main one prints and evaluates
        return
    training_summary.print_summary(loaded, result)
    if loaded.evaluation.tasks:
        settings = loaded.evaluation
        request = evaluation.EvaluationRequest(tuple(settings.protocols), settings.seeds)
        # The run is scored with the plugins that it was trained with.
        scoring = runs.Scoring(request, device=device, without=tuple(without or ()))
        print_scores(result.folder, settings.tasks, scoring)
    print_line(f"\n{result.folder}: the folder of the run; `tensorboard --logdir {result.folder}` shows its curves")


def _recipe_to_resume(folder: Path | None) -> str:
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


def _start_processes(recipe: Recipe) -> int:
    """Start this command again in several processes on this machine, and return their exit code."""
    settings = recipe.trainer
    if settings.nodes > 1:
        raise FindnaError(
            f"trainer.nodes {settings.nodes}: on several machines a launcher starts the processes: "
            "srun findna-kit run ..., or torchrun -m findna_kit run ... on each"
        )
    if recipe.data.batch_size % settings.devices:
        raise FindnaError(
            f"data.batch_size {recipe.data.batch_size} is not divisible by the number of processes, {settings.devices}"
        )
    # The children get the same arguments as this process.
    code = distributed.supervise(sys.argv[1:], settings.devices)
    # 128 plus the signal's number is the exit code of a run that saved and stopped on a signal.
    if settings.requeue and code == 128 + SIGUSR2:
        log(processes.requeue())
    return code

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

if TYPE_CHECKING:
    from findna_kit import distributed, runs
    from findna_kit.api import preparation, training
    from findna_kit.cli import training_summary
    from findna_kit.recipe import Recipe
    from findna_kit.runs import processes
else:
    distributed, runs = LazyModule("findna_kit.distributed"), LazyModule("findna_kit.runs")
    processes = LazyModule("findna_kit.runs.processes")
    preparation, training = LazyModule("findna_kit.api.preparation"), LazyModule("findna_kit.api.training")
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
    location = training.location_of(out, resume, overwrite=overwrite)
    source = recipe if recipe is not None else training.recipe_to_resume(resume)
    loaded = preparation.load(source, overrides or [], without or [], resume)
    preparation.check_files(loaded.recipe)
    settings = loaded.recipe.trainer
    # Under torchrun or Slurm the processes exist already; otherwise this process starts and supervises them.
    if distributed.current_launch() is None and settings.devices * settings.nodes > 1:
        sys.exit(_start_processes(loaded.recipe))
    # Reporters are imported before the run folder is created, so that a wrong name leaves nothing behind.
    result = training.train(loaded, location, device=device, reporters=runs.Reporters(report or []))
    if not result.is_main_process:  # of several processes only the main one prints and evaluates
        return
    training_summary.print_summary(loaded.recipe, result)
    if tasks := loaded.recipe.evaluation.tasks:
        print_scores(result.folder, tasks, runs.recipe_scoring(loaded.recipe, device, without or ()))
    print_line(f"\n{result.folder}: the folder of the run; `tensorboard --logdir {result.folder}` shows its curves")


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

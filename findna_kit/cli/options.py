"""Arguments and options that several commands share, each stated once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from findna_kit.cli.completion import complete_override, complete_plugin, complete_recipe, complete_task

RECIPE_HELP = "Path of a recipe, name of a shipped one, or PLUGIN:NAME for one of a plugin."
RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", autocompletion=complete_recipe, help=RECIPE_HELP)]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="K=V",
        autocompletion=complete_override,
        help="Override a key of the recipe, for example --set encoder.dim=64. Repeatable.",
    ),
]
Without = Annotated[
    list[str] | None,
    typer.Option("--without", metavar="PLUGIN", autocompletion=complete_plugin, help="Ignore a plugin. Repeatable."),
]
Device = Annotated[str, typer.Option("--device", metavar="DEVICE", help="Use this device: auto, cpu or cuda.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print the result as CSV.")]
Wide = Annotated[bool, typer.Option("--wide", help="Print every column; by default only the main ones are printed.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")]
RunsBelow = Annotated[Path, typer.Argument(metavar="DIR", help="Folder to search for runs, including those of studies.")]
TaskArguments = Annotated[
    list[str],
    typer.Argument(
        metavar="TASK...",
        autocompletion=complete_task,
        help="Name of a shipped task, a folder of tables, a task file (.yaml), or builtin.",
    ),
]
Branch = Annotated[
    Literal["student", "teacher"] | None,
    typer.Option("--branch", help="Use this branch. [default: the one that the recipe exports]"),
]
Step = Annotated[
    int | None, typer.Option("--step", metavar="N", min=0, help="Use the checkpoint of this step. [default: the last one]")
]
Pooling = Annotated[
    Literal["mean", "mean_std", "class"],
    typer.Option(
        "--pooling",
        help="Average embeddings of nucleotides (mean); append their standard deviation (mean_std); or average class tokens.",
    ),
]
Layer = Annotated[
    int | None,
    typer.Option("--layer", metavar="N", help="Use a hidden layer, counted from 0. [default: the output of the encoder]"),
]
Strand = Annotated[
    Literal["forward", "both"], typer.Option("--strand", help="Embed the sequence as given, or average both strands.")
]
ScoredStrand = Annotated[
    Literal["auto", "forward", "both"],
    typer.Option(
        "--strand",
        help="Embed the sequence as given, or average both strands; auto takes the one with the better validation score.",
    ),
]
TaskData = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder with the data of shipped tasks. [default: $FINDNA_KIT_TASKS]"),
]

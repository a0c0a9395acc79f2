"""Arguments and options that several commands share, each stated once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from findna_kit.cli.completion import (
    complete_override,
    complete_plugin,
    complete_recipe,
    complete_recipe_or_study,
    complete_task,
)
from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Sequence

RECIPE_HELP = "Path of a recipe, name of a shipped one, or PLUGIN:NAME for one of a plugin."
RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", autocompletion=complete_recipe, help=RECIPE_HELP)]
RecipeOrStudyArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE|STUDY",
        autocompletion=complete_recipe_or_study,
        help="Path of a recipe or study, name of a shipped one, or PLUGIN:NAME.",
    ),
]
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
SequenceFile = Annotated[
    Path,
    typer.Argument(
        metavar="INPUT", help="FASTA or BED, or a CSV, TSV or parquet with a column named sequence, seq or dna; plain or gzip."
    ),
]
RegionGenome = Annotated[
    str | None, typer.Option("--genome", metavar="FASTA", help="Read the regions of a BED from this FASTA, or builtin.")
]
Window = Annotated[
    int | None, typer.Option("--window", metavar="N", min=1, help="Cut the sequences of a FASTA into windows of N bases.")
]
SequenceColumn = Annotated[
    str | None,
    typer.Option("--sequence-column", metavar="NAME", help="Read this column of a table. [default: sequence, seq or dna]"),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        "--label-column", metavar="NAME", help="Read labels from this column of a table. [default: label, target or y]"
    ),
]
_TASK = "Name of a shipped task, a table with a split column, a folder of tables, a task file (.yaml), or builtin."
TaskArgument = Annotated[str, typer.Argument(metavar="TASK", autocompletion=complete_task, help=_TASK)]
TaskArguments = Annotated[list[str], typer.Argument(metavar="TASK...", autocompletion=complete_task, help=_TASK)]
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
        help="Read sequences as given (forward), or both strands. auto: k-NN and the linear probe take what has the better "
        "validation score, other protocols read forward.",
    ),
]
TaskData = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder with the data of shipped tasks. [default: $FINDNA_KIT_TASKS]"),
]
Seeds = Annotated[
    int, typer.Option("--seeds", metavar="N", min=1, help="Repeat what is random (controls, shots, fine-tuning) N times.")
]
ShuffledLabels = Annotated[
    bool, typer.Option("--shuffled-labels", help="Add a control that is trained on randomly permuted labels.")
]
Cnn = Annotated[
    bool, typer.Option("--cnn", help="Add a small convolutional network, trained on the task alone, as a control. Slow.")
]
DropLeaked = Annotated[
    bool, typer.Option("--drop-leaked", help="Leave out test sequences that the audit finds in the other splits.")
]
Overlap = Annotated[int, typer.Option("--overlap", metavar="N", min=0, help="Let adjacent windows share N bases.")]
OverwriteOutput = Annotated[bool, typer.Option("--overwrite", help="Replace existing output.")]
ResumeOutput = Annotated[bool, typer.Option("--resume", help="Continue a call that was interrupted.")]


def refuse_overrides_of_study(overrides: Sequence[str] | None) -> None:
    """Raise FindnaError for `--set` with a study: it would not say which condition it is for."""
    if overrides:
        raise FindnaError("--set applies to a recipe; a study states its overrides in its file")

"""What several commands take, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", help="a path, a shipped name, or a plugin's plugin:name")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="K=V", help="override one key: --set encoder.dim=64")]
Without = Annotated[list[str] | None, typer.Option("--without", metavar="PLUGIN", help="leave a plugin out")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda")]
Json = Annotated[bool, typer.Option("--json", help="machine-readable result on stdout")]
Csv = Annotated[bool, typer.Option("--csv", help="the rows as CSV on stdout")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="a run's folder")]
Branch = Annotated[
    Literal["student", "teacher"] | None, typer.Option("--branch", help="[default: the one that the run serves]")
]
Step = Annotated[int | None, typer.Option("--step", min=0, help="a saved step [default: the last]")]
Pooling = Annotated[Literal["mean", "class"], typer.Option("--pooling", help="of nucleotides, or class tokens")]
Layer = Annotated[int | None, typer.Option("--layer", help="a hidden layer, from 0 [default: what the encoder gives]")]
Strand = Annotated[Literal["forward", "both"], typer.Option("--strand", help="as given, or the mean of both")]
TaskData = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="where the data of shipped tasks lie [default: $FINDNA_KIT_TASKS]")
]

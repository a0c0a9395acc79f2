"""The commands runs list, runs best, runs compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from findna_kit.cli.options import Csv, Json

runs_app = typer.Typer(help="Runs that there are: list them, find the best one, compare some.")

Below = Annotated[Path, typer.Argument(metavar="[DIR]", help="runs in it and below, those of studies too")]
Order = Literal["run", "name", "status", "seed", "steps", "metric", "time", "when"]


@runs_app.callback(invoke_without_command=True)
def _runs(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_runs()


@runs_app.command("list")
def list_runs(
    folder: Below = Path("runs"),
    metric: Annotated[
        str | None, typer.Option("--metric", metavar="NAME", help="of metrics.jsonl [default: held-out losses]")
    ] = None,
    status: Annotated[str | None, typer.Option("--status", metavar="S,...", help="only these: finished, running, ...")] = None,
    sort: Annotated[Order, typer.Option("--sort", help="by what; unknown values last")] = "run",
    reverse: Annotated[bool, typer.Option("--reverse", help="the other way round")] = False,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List runs: how each stands, what it has come to, and its scores."""
    from findna_kit.cli import listing

    listing.listing(folder, metric, status, sort, reverse=reverse, form=listing.form(as_csv=as_csv, as_json=as_json))


@runs_app.command("best")
def best_run(
    metric: Annotated[str, typer.Option("--metric", metavar="NAME", help="of held-out windows or validation rows")],
    folder: Below = Path("runs"),
    maximise: Annotated[
        bool | None, typer.Option("--maximise/--minimise", help="where it is not known which end of the metric is better")
    ] = None,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """The finished run that is best by a held-out metric; a score on test rows chooses nothing."""
    from findna_kit.cli import listing

    listing.best(folder, metric, maximise, form=listing.form(as_csv=as_csv, as_json=as_json))


@runs_app.command("compare")
def compare_runs(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="folders of runs")],
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """What differs between runs, and what came out of each: recipe, versions, genome, metrics, scores and their controls."""
    from findna_kit.cli import listing
    from findna_kit.cli.comparing import compare

    compare(runs, form=listing.form(as_csv=as_csv, as_json=as_json))

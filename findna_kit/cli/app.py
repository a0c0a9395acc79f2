"""The commands. stdout carries results, stderr progress; a user's mistake is a sentence and exit code 2."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Literal

import typer

from findna_kit.cli.downstream import downstream
from findna_kit.cli.extending import CommandsOfPlugins
from findna_kit.cli.options import Device, Json, Overrides, RecipeArgument, Without
from findna_kit.cli.runs import runs_app
from findna_kit.errors import FindnaError, Interrupted, RunStopped

app = typer.Typer(
    name="findna-kit", pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Self-supervised learning on DNA: recipes of components that plugins register.",
    context_settings={"help_option_names": ["-h", "--help"]}, cls=CommandsOfPlugins,
)  # fmt: skip
plugins_app = typer.Typer(help="Plugins: list them, look whether they work, write one.")
app.add_typer(plugins_app, name="plugins")
recipes_app = typer.Typer(help="Shipped recipes, and those of plugins: list them, copy one.")
app.add_typer(recipes_app, name="recipes")
app.add_typer(runs_app, name="runs")
app.add_typer(downstream)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="print the version")] = False,
    show_traceback: Annotated[
        bool, typer.Option("--traceback", help="with any command: show where an error was raised")
    ] = False,
) -> None:
    if version:
        from findna_kit import __version__

        print(f"findna-kit {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def run(
    recipe: RecipeArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="folder of the run [default: runs/NAME-1, -2, ...]")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="DIR", help="go on with the run in DIR; start it where there is none")
    ] = None,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the run that --out holds")] = False,
    report: Annotated[
        list[str] | None, typer.Option("--report", metavar="NAME", help="a plugin's reporter that is told of the run's metrics")
    ] = None,
    overrides: Overrides = None,
    without: Without = None,
) -> None:
    """Train a recipe, evaluate it, and leave a run's folder."""
    from findna_kit.cli import running

    running.run(
        recipe, out=out, resume=resume, device=device, overwrite=overwrite, overrides=overrides or [], without=without or [],
        reporters=report or [],
    )  # fmt: skip


@app.command()
def check(recipe: RecipeArgument, overrides: Overrides = None, without: Without = None) -> None:
    """Validate a recipe, assemble it on the meta device and read its tasks; the genome must exist, but is not read."""
    from findna_kit.cli import looking

    looking.check(recipe, overrides or [], without or [])


@app.command()
def plan(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE|STUDY", help="a path, a shipped name, or a plugin's plugin:name")],
    steps: Annotated[int, typer.Option("--steps", min=1, help="steps to measure, after the warm-up")] = 5,
    jobs: Annotated[int, typer.Option("--jobs", min=1, metavar="N", help="of a study: cells at a time")] = 1,
    device: Device = "auto",
    as_json: Json = False,
    overrides: Overrides = None,
    without: Without = None,
) -> None:
    """Parameters, memory, operations and time of a recipe or a study, from a few real steps; no run is made."""
    from findna_kit.cli import planning

    planning.plan(
        recipe, device=device, steps=steps, jobs=jobs, as_json=as_json, overrides=overrides or [], without=without or []
    )  # fmt: skip


@app.command()
def show(recipe: RecipeArgument, overrides: Overrides = None, without: Without = None) -> None:
    """Print the resolved recipe, every default filled in."""
    from findna_kit.cli import looking

    looking.show(recipe, overrides or [], without or [])


@app.command()
def schema(without: Without = None) -> None:
    """Print a JSON Schema of recipes for editors, installed plugins included."""
    from findna_kit.cli import recipes

    recipes.schema(without or [])


@recipes_app.callback(invoke_without_command=True)
def _recipes(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_recipes()


@recipes_app.command("list")
def list_recipes() -> None:
    """List the shipped recipes, and those that plugins bring."""
    from findna_kit.cli import recipes

    recipes.listing()


@recipes_app.command("copy")
def copy_recipe(
    name: Annotated[str, typer.Argument(metavar="NAME", help="name of a shipped recipe, or plugin:name")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="where to [default: NAME.yaml]")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace a file that is there")] = False,
    without: Without = None,
) -> None:
    """Copy a recipe of the list, to be edited; beside it the JSON Schema that editors check it by."""
    from findna_kit.cli import recipes

    recipes.copy(name, out, without or [], overwrite=overwrite)


@app.command()
def components(
    what: Annotated[str | None, typer.Argument(metavar="[KIND|NAME]", help="a kind, or a component's name")] = None,
    as_json: Json = False,
    without: Without = None,
) -> None:
    """What can be chosen, from which package and version, with its parameters."""
    from findna_kit.cli import loading, looking

    with loading.collector_at_rest():
        looking.components(what, without or [], as_json=as_json)


@plugins_app.callback(invoke_without_command=True)
def _plugins(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_plugins()


@app.command()
def ablate(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="path of a study's file, or name of a shipped one")],
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="the study's folder [default: studies/NAME]")] = None,
    executor: Annotated[Literal["local", "slurm"], typer.Option("--executor", help="where cells are run")] = "local",
    jobs: Annotated[int, typer.Option("--jobs", min=1, metavar="N", help="cells at a time, queued ones too")] = 1,
    slurm: Annotated[
        list[str] | None, typer.Option("--slurm", metavar="K=V", help="one setting of the scheduler, such as time=2:00:00")
    ] = None,
    device: Device = "auto",
    retry: Annotated[bool, typer.Option("--retry", help="run the cells that failed before, too")] = False,
    as_json: Json = False,
    without: Without = None,
) -> None:
    """Run the cells of a study that are missing, and say which piece mattered."""
    from findna_kit.cli import ablating

    ablating.ablate(
        study, out=out, jobs=jobs, device=device, retry=retry, as_json=as_json, without=without or [], executor=executor,
        slurm=slurm or [],
    )  # fmt: skip


@plugins_app.command("list")
def list_plugins(as_json: Json = False) -> None:
    """Installed plugins, from metadata: none is imported."""
    from findna_kit.cli import looking

    looking.plugins(as_json=as_json)


@plugins_app.command()
def doctor(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[PLUGIN...]", help="these, and the built-ins [default: all]")
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=1, metavar="SECONDS", help="longest time to import one")] = 60,
    as_json: Json = False,
) -> None:
    """Import each plugin in a process of its own: what it brings, or why it is broken (exit code 3)."""
    from findna_kit.cli import doctoring

    doctoring.doctor(names or [], timeout, as_json=as_json)


@plugins_app.command("new")
def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="of the plugin; its package is findna-NAME")],
    kind: Annotated[
        str,
        typer.Option("--kind", metavar="KIND[,KIND...]", help="of encoder, augmentation, masking, loss, teacher_update"),
    ],
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="folder to write [default: findna-NAME]")] = None,
) -> None:
    """Write a package with a plugin that installs, passes its tests and runs in a recipe; then put in yours."""
    from findna_kit.cli import scaffolding

    scaffolding.new(name, kind, out)


@plugins_app.command("test")
def test_plugin(
    package: Annotated[str, typer.Argument(metavar="PACKAGE", help="name of an installed plugin, or of its distribution")],
    as_json: Json = False,
) -> None:
    """Check that a package's components do what the kit asks of their kind; in words what does not (exit code 3)."""
    from findna_kit.cli import conforming

    conforming.test(package, as_json=as_json)


@app.command()
def genome(
    fasta: Annotated[str, typer.Argument(metavar="FASTA", help="path of a FASTA, or builtin")],
    length: Annotated[int, typer.Option("--length", min=1, help="nucleotides in a window")] = 512,
    max_unknown: Annotated[float, typer.Option("--max-unknown", min=0, max=1, help="largest share of N in a window")] = 0.1,
    as_json: Json = False,
) -> None:
    """Index a FASTA; its contigs, N, soft-masking and GC, and the windows that each rule leaves."""
    from findna_kit.cli import looking

    looking.genome(fasta, length=length, max_unknown=max_unknown, as_json=as_json)


def main() -> None:
    """The entry point: runs a command and turns the kit's own errors into a message and an exit code."""
    # Threads that wait spin by default, for so long that another busy program on the same cores slows training 3 to 15 times.
    # Set before torch reads it; on a quiet machine it costs nothing that we could measure.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    arguments = [argument for argument in sys.argv[1:] if argument != "--traceback"]
    try:
        app(arguments)
    except (FindnaError, RunStopped, Interrupted) as error:
        if len(arguments) < len(sys.argv) - 1:
            traceback.print_exc()
        if not error.silent:
            print(error, file=sys.stderr)
        sys.exit(error.exit_code)

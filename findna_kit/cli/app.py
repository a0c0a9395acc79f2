"""The program `findna-kit`: its options, and the exit codes of its errors.

Results go to stdout and progress to stderr. An error of the user is one message and exit code 2.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from findna_kit import __version__
from findna_kit.cli.command_table import COMMANDS
from findna_kit.cli.plugin_commands import RootGroup
from findna_kit.errors import FindnaError, Interrupted, RunStopped

TRACEBACK = "--traceback"

app = typer.Typer(
    name="findna-kit", cls=RootGroup, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Self-supervised learning on DNA: recipes choose components, and plugins provide them.",
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    show_traceback: Annotated[
        bool, typer.Option(TRACEBACK, help="Show the traceback of an error. Accepted after any command of the kit as well.")
    ] = False,
) -> None:
    """Handle the options of the program itself; without a command, print the help."""
    if version:
        print(f"findna-kit {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """Run a command of `sys.argv`; turn the errors of the kit into a message and an exit code."""
    # OpenMP threads spin while they wait. The default spins so long that another busy program on the same cores slows training
    # 3 to 15 times. torch reads the variable when it is imported; on an idle machine the lower value costs nothing measurable.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    arguments, with_traceback = take_traceback(sys.argv[1:])
    try:
        app(arguments, prog_name="findna-kit")
    except (FindnaError, RunStopped, Interrupted) as error:
        if with_traceback:
            traceback.print_exc()
        if not error.silent:  # of several processes one prints the message for all
            print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def take_traceback(arguments: list[str]) -> tuple[list[str], bool]:
    """Return the arguments without `--traceback`, and whether it was among them.

    After the name of a plugin's command all arguments belong to the plugin and are left alone.
    """
    # Every option of the program is a flag, so the first argument that is no option is the name of the command.
    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    end = len(arguments) if name is None or name in COMMANDS else arguments.index(name)
    own = [argument for argument in arguments[:end] if argument != TRACEBACK]
    return [*own, *arguments[end:]], len(own) < end

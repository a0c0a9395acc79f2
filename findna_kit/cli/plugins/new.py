"""The command `plugins new`: create the package of a plugin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from findna_kit.cli.completion import complete_kinds
from findna_kit.cli.lazy import LazyModule

if TYPE_CHECKING:
    from findna_kit.cli import scaffolding
else:
    scaffolding = LazyModule("findna_kit.cli.scaffolding")


def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the plugin; its package is called findna-NAME.")],
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            metavar="KIND,...",
            autocompletion=complete_kinds,
            help="Kinds of its components, such as encoder or loss. `findna-kit components` lists all kinds.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write the package to this folder. [default: findna-NAME]")
    ] = None,
) -> None:
    """Create a plugin package that installs, passes its tests and runs.

    Replace its example components with your own.
    """
    scaffolding.new(name, kind, out)

"""The command `import findna`: a released FinDNA checkpoint as a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from findna_kit.cli.console import log, print_line, print_table
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Without

if TYPE_CHECKING:
    from findna_kit import runs
    from findna_kit.exchange import import_findna as importing
    from findna_kit.plugins import loading
else:
    runs, loading = LazyModule("findna_kit.runs"), LazyModule("findna_kit.plugins.loading")
    importing = LazyModule("findna_kit.exchange.import_findna")


def import_findna(
    file: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="Checkpoint file that the authors of FinDNA released.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write the run to this folder. [default: runs/findna-released-1, -2, ...]"),
    ] = None,
    length: Annotated[
        int, typer.Option("--length", metavar="N", min=1, help="Window length that the checkpoint was trained on.")
    ] = 1000,
    class_tokens: Annotated[
        int, typer.Option("--class-tokens", metavar="N", min=0, help="Number of class tokens that it was trained with.")
    ] = 10,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in the folder of --out.")] = False,
    without: Without = None,
) -> None:
    """Import a released FinDNA checkpoint as a run folder.

    Every tensor of the file is imported, or the command fails.
    """
    components, plugins = loading.load_plugins(without or [])
    result = importing.import_findna(
        file, runs.RunLocation(out, None, overwrite), length=length, class_tokens=class_tokens, components=components,
        plugins=plugins,
    )  # fmt: skip
    report = result.report
    for remark in report["remarks"]:
        log(remark)
    sources = [[name, source] for section in ("tensors", "made_here") for name, source in report[section].items()]
    print_table([["in the run", "from the file"], *sources])
    # The three counts together show that no tensor of the file was left out, and how many of the run it does not contain.
    imported, filled, created = (len(report[name]) for name in ("keys", "tensors", "made_here"))
    print_line(
        f"\nall {imported} tensors of {file} were imported; they fill all {filled} tensors of the networks, "
        f"and {created} was created here"
    )
    print_line(f"{result.folder}: the folder of the run; its step 0 is a random initialisation, its last step the checkpoint")

"""The command `export`: one branch of a run as a folder to share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from findna_kit.cli.console import print_line, print_table
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Branch, RunFolder, Step, Without
from findna_kit.errors import FindnaError, nearest

if TYPE_CHECKING:
    from findna_kit.exchange import export as exporting
    from findna_kit.exchange.export import ExportFormat
else:
    exporting = LazyModule("findna_kit.exchange.export")


def export(
    folder: RunFolder,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Write the export to this new folder.")],
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="Format: huggingface, or onnx with the extra onnx installed.")
    ] = "huggingface",
    branch: Branch = None,
    step: Step = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the export in the folder of --out.")] = False,
    without: Without = None,
) -> None:
    """Export one branch of a run, with a model card, to share it."""
    if form not in exporting.FORMATS:
        formats = " or ".join(exporting.FORMATS)
        raise FindnaError(f"--format {form}: must be {formats}{nearest(form, exporting.FORMATS)}")
    result = exporting.export_run(
        folder, out, branch=branch, step=step, form=cast("ExportFormat", form), overwrite=overwrite, without=without or []
    )  # fmt: skip
    print_table([["file", "KiB"], *([name, f"{size / 1024:,.1f}"] for name, size in result.files.items())])
    print_line(f"\n{out}: the {result.branch} at step {result.step}; before you publish it, fill in the licence in README.md")

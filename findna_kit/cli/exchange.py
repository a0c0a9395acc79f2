"""Commands that take a model in or give it away: import findna, export."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from findna_kit.cli import loading
from findna_kit.cli.progress import table
from findna_kit.errors import FindnaError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from findna_kit.exchange.export import Format
    from findna_kit.inference.frozen_model import BranchName


def import_findna(
    file: Path, *, out: Path | None, length: int, class_tokens: int, overwrite: bool, without: Sequence[str]
) -> None:
    """Makes the run, and prints where every tensor of the file went and whence every tensor of the run came."""
    from findna_kit.exchange.import_findna import import_findna as imported
    from findna_kit.plugins.loading import load_plugins
    from findna_kit.runs import RunLocation

    components, plugins = load_plugins(without)
    made = imported(
        file,
        RunLocation(out, None, overwrite),
        length=length,
        class_tokens=class_tokens,
        components=components,
        plugins=plugins,
    )
    for remark in made.report["remarks"]:
        loading.say(remark)
    table([["in the run", "from the file"], *_coverage(made.report)])
    given, taken, own = (len(made.report[name]) for name in ("keys", "tensors", "made_here"))
    print(
        f"\nall {given} tensors of {file} are in the run, and all {taken} of its networks come from there; {own} was made here"
    )
    print(f"{made.folder}: the run's folder; its step 0 is a random initialisation, its last step the file")


def _coverage(report: Mapping[str, Any]) -> list[list[str]]:
    return [[name, came] for part in ("tensors", "made_here") for name, came in report[part].items()]


def export(
    run: Path, out: Path, *, branch: str | None, step: int | None, form: str, overwrite: bool, without: Sequence[str]
) -> None:
    """Writes the folder, and lists what is in it."""
    from findna_kit.exchange.export import FORMATS, export_run

    if form not in FORMATS:
        raise FindnaError(f"--format {form}: {' or '.join(FORMATS)} is wanted{nearest(form, FORMATS)}")
    made = export_run(
        run,
        out,
        branch=cast("BranchName | None", branch),
        step=step,
        form=cast("Format", form),
        overwrite=overwrite,
        without=without,
    )
    table([["file", "KiB"], *([name, f"{size / 1024:,.1f}"] for name, size in made.files.items())])
    print(f"\n{out}: the {made.branch} at step {made.step}; before you publish it, fill in the licence in README.md")

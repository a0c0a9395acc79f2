"""Section "Views": one window and its views, as the run drew them before its first step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.records.paths import RECIPE, VIEWS_JSON
from findna_kit.records.views_json import read_views
from findna_kit.report.blocks import Lines, Note, Section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.report.blocks import Block
    from findna_kit.report.folders import RunFolder


def views_section(part: str, labelled: Sequence[tuple[str, RunFolder]]) -> Section:
    """Return the section. Runs with the same drawing share it."""
    drawings: dict[tuple[tuple[tuple[str, str], ...], ...], list[str]] = {}
    notes: list[Block] = []
    for label, run in labelled:
        drawn = read_views(run.folder)
        if drawn is None:
            notes.append(
                Note(
                    f"{label}: its folder has no {VIEWS_JSON}. This draws it:", True, f"findna-kit views {run.folder / RECIPE}"
                )
            )
        else:
            drawings.setdefault(tuple(map(tuple, drawn.lines)), []).append(label)
    blocks: list[Block] = [
        Lines(f"One window and its views in {', '.join(labels)}", lines) for lines, labels in drawings.items()
    ]
    return Section(f"{part}-views", "Views", [*blocks, *notes])

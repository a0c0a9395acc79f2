"""views.json: the drawing of one window and its views that a run leaves in its folder, for reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.records.json_files import JsonModel, read_model, write_json
from findna_kit.records.paths import VIEWS_JSON

if TYPE_CHECKING:
    from pathlib import Path


class ViewsJson(JsonModel):
    """The lines of the drawing, each as spans (text, style)."""

    lines: list[list[tuple[str, str]]]


def read_views(folder: Path) -> ViewsJson | None:
    """Return the drawing of a run; None if it has none. Raises FindnaError for a damaged file."""
    return read_model(folder / VIEWS_JSON, ViewsJson, "remove it; only the report reads it")


def write_views(folder: Path, views: ViewsJson) -> None:
    """Write the drawing of a run."""
    write_json(folder / VIEWS_JSON, views.to_json())

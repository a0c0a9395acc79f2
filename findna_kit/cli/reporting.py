"""The command report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def report(
    folders: Sequence[Path], *, out: Path | None, overwrite: bool, embed: str | None, data: Path | None, device: str,
    without: Sequence[str],
) -> None:  # fmt: skip
    """Writes a page of runs and studies, and says where it is."""
    from findna_kit.report import ReportRequest, write_report
    from findna_kit.report.sections.embeddings import Embed

    asked = None if embed is None else Embed(embed, data, device, tuple(without))
    path = write_report(ReportRequest(folders, out, overwrite, asked))
    print(f"{path}: the page ({path.stat().st_size / 1e3:,.0f} kB); any browser opens it, without a network")

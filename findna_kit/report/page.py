"""Rendering of run and study folders as one HTML file. The same folders give the same bytes."""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from findna_kit.atomic import atomic_write
from findna_kit.errors import FindnaError, OutputExists
from findna_kit.records.paths import REPORT
from findna_kit.report.blocks import ReportPart
from findna_kit.report.folders import RunFolder, StudyFolder, read_folder
from findna_kit.report.groups import group_runs, shortest_labels
from findna_kit.report.paths import PathShortener
from findna_kit.report.sections.conditions import conditions_section
from findna_kit.report.sections.cost import cost_section
from findna_kit.report.sections.curves import curve_sections
from findna_kit.report.sections.declared import declared_section
from findna_kit.report.sections.effects import effects_section
from findna_kit.report.sections.embeddings import embeddings_section
from findna_kit.report.sections.facts import cells_section, runs_section
from findna_kit.report.sections.leakage import leakage_section
from findna_kit.report.sections.recipes import recipes_section
from findna_kit.report.sections.scores import scores_section
from findna_kit.report.sections.verdict import verdict_section
from findna_kit.report.sections.views import views_section

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from findna_kit.report.sections.embeddings import EmbeddingRequest

MARK = b'<meta name="generator" content="findna-kit report">'
"""Recognises a page as a report of the kit; it is near the beginning of the file."""
_BEGINNING = 2048
_LONG_WORD = 15
"""Length up to which words are not broken in printed tables. No number is as long."""


@dataclass(frozen=True)
class ReportRequest:
    """Arguments of `write_report`. out: None for report.html in the only folder. embed: None for no embedding plots."""

    folders: Sequence[Path]
    out: Path | None = None
    overwrite: bool = False
    embed: EmbeddingRequest | None = None


def write_report(request: ReportRequest) -> Path:
    """Write the page and return its path.

    Raises FindnaError for a folder that is neither a run nor a study, and for damaged files; OutputExists where the page would
    replace another file.
    """
    out = _output_path(request)
    text = render(read(request.folders), request.embed)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(out) as temporary:
            # File names need not be valid Unicode, and may be shown on the page.
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputExists(f"{out}: cannot be written: {error.strerror}; name another --out") from error
    return out


def _output_path(request: ReportRequest) -> Path:
    """Return where the page goes. A page in the folder that it is about can be made again, and is replaced without asking."""
    if request.out is None and len(request.folders) > 1:
        raise FindnaError(f"a report of {len(request.folders)} folders needs --out FILE.html")
    out = request.out or request.folders[0] / REPORT
    # lexists, because a broken symbolic link would be replaced, too.
    if not os.path.lexists(out):
        return out
    if not _is_report(out):
        raise OutputExists(f"{out}: exists and is not a report of findna-kit, so it is not replaced; name another --out")
    if request.out is not None and not request.overwrite:
        raise OutputExists(f"{out}: exists already; name another --out, or use --overwrite")
    return out


def _is_report(path: Path) -> bool:
    """Return whether a file is a report of the kit, whose beginning has `MARK`."""
    try:
        with path.open("rb") as file:
            return MARK in file.read(_BEGINNING)
    except OSError:
        return False


def read(folders: Sequence[Path]) -> list[RunFolder | StudyFolder]:
    """Return every folder with a label that distinguishes it. Raise FindnaError for a folder that is given twice."""
    # Resolved, so that a folder and a symbolic link to it count as the same.
    paths = [str(folder.resolve()) for folder in folders]
    if repeated := [folder for folder, path in zip(folders, paths, strict=True) if paths.count(path) > 1]:
        raise FindnaError(f"{repeated[0]}: is given twice; give it once")
    return [read_folder(folder, label) for folder, label in zip(folders, shortest_labels(paths), strict=True)]


def render(folders: Sequence[RunFolder | StudyFolder], embed: EmbeddingRequest | None = None) -> str:
    """Return the page as text."""
    runs = [folder for folder in folders if isinstance(folder, RunFolder)]
    studies = [folder for folder in folders if isinstance(folder, StudyFolder)]
    parts = [_runs_part(runs, embed)] if runs else []
    parts += [_study_part(f"study-{number}", study, embed) for number, study in enumerate(studies)]
    if len(folders) == 1:
        title = studies[0].study.name if studies else runs[0].record.name or runs[0].label
    else:
        title = ", ".join(folder.label for folder in folders)
    paths = PathShortener.of_page({folder.folder: folder.label for folder in folders})
    return _environment(paths).get_template("page.html").render(title=title, parts=parts, version=version("findna-kit"))


@lru_cache(maxsize=1)
def _environment(paths: PathShortener) -> Environment:
    """Return the environment of the templates, which escapes every value and shortens the paths in it."""
    # StrictUndefined makes a misspelt name in a template an error rather than an empty text.
    environment = Environment(
        loader=PackageLoader("findna_kit.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        # Every value passes through the shortener, so no section can leave an absolute path in the page.
        lstrip_blocks=True, keep_trailing_newline=True, finalize=paths.shorten,
    )  # fmt: skip
    environment.tests["long"] = lambda cell: any(len(word) > _LONG_WORD for word in cell.split())
    return environment


def _runs_part(runs: Sequence[RunFolder], embed: EmbeddingRequest | None) -> ReportPart:
    """Return the part about all runs: each run is a series of its own."""
    groups, steps = group_runs([(run.label, [run]) for run in runs])
    labelled = [(run.label, run) for run in runs]
    title = f"Run {runs[0].label}" if len(runs) == 1 else f"{len(runs)} runs"
    return ReportPart("runs", title, [
        # Whether it worked, and against what; then how it went; then what was run.
        verdict_section("runs", runs),
        scores_section("runs", runs),
        *curve_sections("runs", groups, steps, ("losses", "masked", "probes")),
        *curve_sections("runs", groups, steps, ("collapse",)),
        views_section("runs", labelled),
        runs_section("runs", runs),
        leakage_section("runs", runs),
        embeddings_section("runs", runs[0].folder, labelled, embed),
        cost_section("runs", groups),
        *curve_sections("runs", groups, steps, ("speed", "optimiser", "other")),
        recipes_section("runs", labelled),
    ])  # fmt: skip


def _study_part(key: str, study: StudyFolder, embed: EmbeddingRequest | None) -> ReportPart:
    """Return the part about one study: each condition is a series, the mean over its seeds."""
    by_condition = [(name, runs) for name in study.study.conditions() if (runs := study.runs(name))]
    # Seeds of a condition differ in their seed only, so recipes and embeddings are shown for the first.
    first_runs = [(name, runs[0]) for name, runs in by_condition]
    sections = [
        declared_section(key, study), effects_section(key, study), conditions_section(key, study),
        cells_section(key, study.cells),
    ]  # fmt: skip
    if by_condition:
        groups, steps = group_runs(by_condition)
        sections += [
            *curve_sections(key, groups, steps, ("losses", "masked", "probes", "collapse")),
            views_section(key, first_runs),
            leakage_section(key, [run for _, runs in by_condition for run in runs]),
            embeddings_section(key, study.folder, first_runs, embed),
            cost_section(key, groups),
            *curve_sections(key, groups, steps, ("speed", "optimiser", "other")),
            # Runs of a study are named after their conditions, so their names always differ.
            recipes_section(key, first_runs, ignored=("name", "seed")),
        ]
    return ReportPart(key, f"Study {study.study.name}", sections)

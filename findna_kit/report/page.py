"""From folders to one HTML file: the same folders give the same bytes."""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from findna_kit.atomic import atomic_write
from findna_kit.errors import FindnaError, OutputExists
from findna_kit.records.paths import REPORT
from findna_kit.report.blocks import Part
from findna_kit.report.folders import Run, StudyFolder, read_folder
from findna_kit.report.groups import grouped, labels_of
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

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from findna_kit.report.sections.embeddings import Embed

MARK = b'<meta name="generator" content="findna-kit report">'
"""By which a page is known as one of ours, near its beginning."""
_BEGINNING = 2048
_LONG = 15
"""Letters of the longest word that a table on paper keeps whole: no number has as many."""


@dataclass(frozen=True)
class ReportRequest:
    """A page that is asked for. out: None for report.html in the one folder; embed: None without pictures of embeddings."""

    folders: Sequence[Path]
    out: Path | None = None
    overwrite: bool = False
    embed: Embed | None = None


def write_report(asked: ReportRequest) -> Path:
    """Writes the page, and says where to.

    Raises FindnaError for what is no run and no study, and for damaged files; OutputExists where it would replace something.
    """
    out = _place(asked)
    text = render(read(asked.folders), asked.embed)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(out) as beside:
            beside.write_text(text, encoding="utf-8", errors="backslashreplace")  # a file's name may be no Unicode
    except OSError as error:
        raise OutputExists(f"{out}: cannot be written: {error.strerror}; name another --out") from error
    return out


def _place(asked: ReportRequest) -> Path:
    """Where the page goes. In a folder of its own the old page follows from the folder, and is replaced without asking."""
    if asked.out is None and len(asked.folders) > 1:
        raise FindnaError(f"a page of {len(asked.folders)} folders belongs to none of them: say with --out FILE.html where to")
    out = asked.out or asked.folders[0] / REPORT
    if not os.path.lexists(out):
        return out
    if not _is_ours(out):
        raise OutputExists(f"{out}: is there already, and is no report of findna-kit, so it is not touched; name another --out")
    if asked.out is not None and not asked.overwrite:
        raise OutputExists(f"{out}: is there already; name another --out, or --overwrite it")
    return out


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return MARK in file.read(_BEGINNING)
    except OSError:
        return False


def read(folders: Sequence[Path]) -> list[Run | StudyFolder]:
    """Every folder, each with a label that tells it from the others. FindnaError for one that is given twice."""
    paths = [str(folder.resolve()) for folder in folders]
    if twice := [folder for folder, path in zip(folders, paths, strict=True) if paths.count(path) > 1]:
        raise FindnaError(f"{twice[0]}: is given twice; once is enough")
    return [read_folder(folder, label) for folder, label in zip(folders, labels_of(paths), strict=True)]


def render(found: Sequence[Run | StudyFolder], embed: Embed | None = None) -> str:
    """The page as text."""
    runs = [one for one in found if isinstance(one, Run)]
    parts = [_of_runs(runs, embed)] if runs else []
    studies = [one for one in found if isinstance(one, StudyFolder)]
    parts += [_of_study(f"study-{number}", one, embed) for number, one in enumerate(studies)]
    named = [run.record.name or run.label for run in runs[:1]] if len(found) == 1 else [one.label for one in found]
    title = ", ".join([*named, *(one.study.name for one in studies)] if len(found) == 1 else named)
    return _template().get_template("page.html").render(title=title, parts=parts, version=version("findna-kit"))


@cache
def _template() -> Environment:
    made = Environment(
        loader=PackageLoader("findna_kit.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    made.tests["long"] = lambda cell: any(len(word) > _LONG for word in cell.split())
    return made


def _of_runs(runs: Sequence[Run], embed: Embed | None) -> Part:
    groups, steps = grouped([(run.label, [run]) for run in runs])
    named = [(run.label, run) for run in runs]
    title = f"Run {runs[0].label}" if len(runs) == 1 else f"{len(runs)} runs"
    return Part("runs", title, [
        runs_section("runs", runs),
        *curve_sections("runs", groups, steps, ("losses", "masked", "looks")),
        *curve_sections("runs", groups, steps, ("collapse",)),
        scores_section("runs", runs),
        leakage_section("runs", runs),
        embeddings_section("runs", runs[0].folder, named, embed),
        cost_section("runs", groups),
        *curve_sections("runs", groups, steps, ("speed", "optimiser", "other")),
        recipes_section("runs", named),
    ])  # fmt: skip


def _of_study(key: str, of: StudyFolder, embed: Embed | None) -> Part:
    named = [(name, runs) for name in of.study.conditions() if (runs := of.runs(name))]
    first = [(name, runs[0]) for name, runs in named]
    sections = [declared_section(key, of), effects_section(key, of), conditions_section(key, of), cells_section(key, of.cells)]
    if named:
        groups, steps = grouped(named)
        sections += [
            *curve_sections(key, groups, steps, ("losses", "masked", "looks", "collapse")),
            leakage_section(key, [run for _, runs in named for run in runs]),
            embeddings_section(key, of.folder, first, embed),
            cost_section(key, groups),
            *curve_sections(key, groups, steps, ("speed", "optimiser", "other")),
            recipes_section(key, first, own="name seed"),
        ]
    return Part(key, f"Study {of.study.name}", sections)

"""Whether test parts leak: what audits found, and what was never asked."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from findna_kit.evaluation.result_tables import audit_lines, audit_rows
from findna_kit.records.paths import AUDIT_JSON
from findna_kit.report.blocks import Note, Section, Table
from findna_kit.report.sections.scores import sentence, written_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.records.audit_json import AuditReport
    from findna_kit.report.blocks import Block
    from findna_kit.report.folders import Run


def leakage_section(part: str, runs: Sequence[Run]) -> Section:
    """Every different audit once, with the runs that have it."""
    found: dict[str, tuple[Run, AuditReport, list[str]]] = {}
    blocks: list[Block] = []
    for run in runs:
        for path, report in run.audits.items():
            told = repr({name: value for name, value in report.to_json().items() if name != "run"})
            found.setdefault(f"{path} {told}", (run, report, []))[2].append(run.label)
    for run, audit, labels in found.values():
        with written_by(run.folder / AUDIT_JSON, "tasks audit"):
            blocks += _audit(run, audit, labels if len(runs) > 1 else [])
    without = [run for run in runs if not run.audits]
    if without:
        which = "no run" if len(without) == len(runs) else ", ".join(run.label for run in without)
        call = f"findna-kit tasks audit TASK --run {shlex.quote(str(without[0].folder))}"
        said = f"No audit of a task is kept{'' if len(runs) == 1 else f' (of {which})' if which != 'no run' else ''}."
        blocks.append(Note(said, missing=True, command=call))
    return Section(f"{part}-leakage", "Leakage", blocks)


def _audit(run: Run, report: AuditReport, labels: Sequence[str]) -> list[Block]:
    head, *rows = audit_rows(report)
    rows = [[f"{row[0]} in {row[1]}", *row[2:]] for row in rows]
    where = f" ({len(labels)} runs)" if len(labels) > 1 else f" ({labels[0]})" if labels else ""
    *lines, method = audit_lines(report)
    blocks: list[Block] = [Table(f"Rows that parts of {report.path} share{where}", ["rows of, found in", *head[2:]], rows)]
    blocks += [Note(sentence(line)) for line in [*report.notes, *lines]]
    if not report.trained_on and not report.unknown:
        call = f"findna-kit tasks audit {shlex.quote(report.path)} --run {shlex.quote(str(run.folder))}"
        said = "The stretches of the genome that the run was trained on have not been searched for test rows."
        blocks.append(Note(said, missing=True, command=call))
    return [*blocks, Note(f"How it was compared: {method}.")]

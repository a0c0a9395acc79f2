"""Section "Leakage": test samples that audits found in other splits and in training regions, and missing audits."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from findna_kit.evaluation.result_tables import audit_lines, audit_rows
from findna_kit.records.paths import AUDIT_JSON
from findna_kit.report.blocks import Note, Section, TableBlock
from findna_kit.report.sections.scores import as_sentence, writer_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.records.audit_json import AuditReport
    from findna_kit.report.blocks import Block
    from findna_kit.report.folders import RunFolder


def leakage_section(part: str, runs: Sequence[RunFolder]) -> Section:
    """Return the section. An audit that several runs have is shown once, with their labels."""
    audits: dict[str, tuple[RunFolder, AuditReport, list[str]]] = {}
    blocks: list[Block] = []
    for run in runs:
        for path, report in run.audits.items():
            # `run` is left out: it differs between runs whose audits are otherwise the same.
            content = repr({name: value for name, value in report.to_json().items() if name != "run"})
            audits.setdefault(f"{path} {content}", (run, report, []))[2].append(run.label)
    for run, audit, labels in audits.values():
        with writer_named(run.folder / AUDIT_JSON, "tasks audit"):
            blocks += _audit(run, audit, labels if len(runs) > 1 else [])
    without = [run for run in runs if not run.audits]
    if without:
        which = ", ".join(run.label for run in without)
        command = f"findna-kit tasks audit TASK --run {shlex.quote(str(without[0].folder))}"
        text = "No task has been audited for leakage" + ("." if len(without) == len(runs) else f" with {which}.")
        blocks.append(Note(text, missing=True, command=command))
    return Section(f"{part}-leakage", "Leakage", blocks)


def _audit(run: RunFolder, report: AuditReport, labels: Sequence[str]) -> list[Block]:
    head, *rows = audit_rows(report)
    rows = [[f"{row[0]} in {row[1]}", *row[2:]] for row in rows]
    where = f" ({len(labels)} runs)" if len(labels) > 1 else f" ({labels[0]})" if labels else ""
    *lines, method = audit_lines(report)
    blocks: list[Block] = [
        TableBlock(f"Samples that splits of {report.path} share{where}", ["samples of, found in", *head[2:]], rows)
    ]
    blocks += [Note(as_sentence(line)) for line in [*report.notes, *lines]]
    if not report.trained_on and not report.unknown:
        command = f"findna-kit tasks audit {shlex.quote(report.path)} --run {shlex.quote(str(run.folder))}"
        text = "The run's training regions have not been searched for test samples."
        blocks.append(Note(text, missing=True, command=command))
    return [*blocks, Note(f"Method: {method}.")]

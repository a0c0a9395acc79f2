"""The typed model of audit.json: for each task what its test split shares with other splits and with training genomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from findna_kit.records.json_files import JsonModel, read_entries, validate
from findna_kit.records.paths import AUDIT_JSON

if TYPE_CHECKING:
    from pathlib import Path


class AuditMethod(JsonModel):
    """How near copies are found: k-mers of length `k`, the share `near` from which two samples count as near copies."""

    k: int
    sampled: str
    near: float
    least_shared: int
    strands: str


class LabelConflicts(JsonModel):
    """Sequences with more than one label; `rows` are their samples, by split."""

    sequences: int
    rows: dict[str, list[int]]


class SplitOverlap(JsonModel):
    """The samples of one split that are also in another; `rows` are their indices by kind of match."""

    rows_of: str
    found_in: str
    share: float
    not_compared: int
    rows: dict[str, list[int]]
    near_with_another_label: int


class LeakedSamples(JsonModel):
    """The test samples that are also in the training or validation split."""

    rows: list[int]
    share: float


class GenomeOverlap(JsonModel):
    """The test samples that lie in regions of a genome."""

    path: str
    digest: str
    bases: int
    k: int
    rows: list[int]
    share: float
    not_compared: int


class AuditReport(JsonModel):
    """One entry of audit.json: the leakage audit of one task. Samples are counted from 0 in each split."""

    format: int
    task: str
    path: str
    digest: str
    sizes: dict[str, int]
    notes: list[str]
    method: AuditMethod
    repeats: dict[str, int]
    conflicting: LabelConflicts
    between: list[SplitOverlap]
    leaked: LeakedSamples
    run: str | None = None
    trained_on: list[GenomeOverlap] = Field(default_factory=list)
    unknown: list[str] = Field(default_factory=list)
    """Sentences about training genomes that could not be compared."""
    lies_in: list[GenomeOverlap] = Field(default_factory=list)


def read_audits(run: Path, remedy: str) -> dict[str, AuditReport]:
    """Return a run's audits by the task's path; empty if no task was audited.

    Raises FindnaError, which ends with `remedy`, if the file is damaged.
    """
    path = run / AUDIT_JSON
    entries = read_entries(path, remedy)
    return {task: validate(path, AuditReport, entry, remedy, key=task) for task, entry in entries.items()}

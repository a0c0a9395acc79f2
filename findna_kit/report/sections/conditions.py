"""Section "Scores" of a study: the scores of each condition on each task, with controls and intervals over seeds."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from findna_kit.evaluation.result_tables import FEATURE_NAMES
from findna_kit.report.blocks import Note, Section, TableBlock
from findna_kit.report.sections.scores import keep_intervals_together

if TYPE_CHECKING:
    from collections.abc import Mapping

    from findna_kit.report.blocks import Block
    from findna_kit.report.folders import StudyFolder
    from findna_kit.study.files import StudyResult
    from findna_kit.study.statistics import MeanInterval


def conditions_section(part: str, study: StudyFolder) -> Section:
    """Return the section: the table of a finished study, and how to see the scores of a single cell."""
    blocks = [] if study.result is None else _scores(study.result)
    cell = study.folder / "cells" / "CONDITION" / "seed-N" / "run"
    text = (
        "The report of a single cell has all its scores, with intervals over the test samples. "
        "A study is not judged by those intervals."
    )
    note = Note(text, command=f"findna-kit report {shlex.quote(str(cell))}")
    return Section(f"{part}-scores", "Scores", [*blocks, note])


def _scores(result: StudyResult) -> list[Block]:
    """Return the table of a finished study, between notes on its intervals and its controls."""
    tasks, seeds = list(result.tasks), len(result.seeds)
    if seeds > 1:
        intervals = (
            f"In brackets: the {result.interval.level:.0%} interval of the mean (Student's t, over seeds). Conditions share "
            "their seeds, so judge whether two of them differ by the paired differences under Effects, not by whether "
            "these intervals overlap."
        )
    else:
        intervals = "A single seed has no interval."
    rows = [
        [name, *(_mean_text(condition.scores[task].mean) for task in tasks)] for name, condition in result.conditions.items()
    ]
    rows += [
        [f"control: {name}", *(_mean_text(by_task[task]) if task in by_task else "" for task in tasks)]
        for name, by_task in _controls(result).items()
    ]
    caption = f"{result.metric}: mean over {seeds} seeds" if seeds > 1 else f"{result.metric} of seed {result.seeds[0]}"
    controls = (
        "Controls are scored in the same way as the encoders: the condition's own network before training, k-mers, one-hot "
        "bases where all sequences have one length, and the most frequent class. A control without brackets is the same for "
        "every seed."
    )
    table = TableBlock(caption, ["condition", *tasks], [keep_intervals_together(row) for row in rows])
    return [Note(intervals), table, Note(controls)]


def _controls(result: StudyResult) -> dict[str, Mapping[str, MeanInterval]]:
    """Return the controls by name and task. One that differs between conditions is listed for each condition."""
    controls: dict[str, Mapping[str, MeanInterval]] = {}
    for control in result.controls:
        by_condition = {
            name: condition.controls[control] for name, condition in result.conditions.items() if control in condition.controls
        }
        # Conditions with the same network share all controls; another encoder has another untrained network.
        first, *others = by_condition.values()
        if all(other == first for other in others):
            controls[FEATURE_NAMES[control]] = first
        else:
            controls |= {f"{FEATURE_NAMES[control]}, {name}": by_task for name, by_task in by_condition.items()}
    return controls


def _mean_text(mean: MeanInterval) -> str:
    """Return a mean with its interval; without one where there is a single seed or seeds do not differ."""
    if mean.low is None or mean.high is None:
        return f"{mean.value:.3f}"
    # Rounding first, then adding 0.0, so that a tiny negative number is not written as -0.000.
    value, low, high = (f"{round(number, 3) + 0.0:.3f}" for number in (mean.value, mean.low, mean.high))
    return f"{value} [{low}, {high}]"

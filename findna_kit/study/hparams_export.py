"""Export of a finished study to TensorBoard's HPARAMS tab: every cell with its levels, its seed and its score."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from findna_kit.metrics.hparams import Session, write_hparams
from findna_kit.metrics.writers import BOARD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from findna_kit.study.files import StudyResult


def export_hparams(folder: Path, result: StudyResult) -> None:
    """Write `tensorboard/` in the study's folder."""
    write_hparams(folder / BOARD, list(_sessions(result)))


def _sessions(result: StudyResult) -> Iterator[Session]:
    """Yield a session for each cell. Its metric is the mean over tasks; with several tasks, each has its own as well."""
    metric = result.metric
    for name, condition in result.conditions.items():
        for index, seed in enumerate(result.seeds):
            by_task = {task: scores.each[index] for task, scores in condition.scores.items()}
            task_metrics = {f"{metric}/{task}": value for task, value in by_task.items()} if len(by_task) > 1 else {}
            levels = condition.levels
            # A study may have a factor called "seed", which must not be overwritten.
            settings: dict[str, str | int | float] = {**levels, "seed of the run" if "seed" in levels else "seed": seed}
            yield Session(f"{name}/seed-{seed}", settings, {metric: fmean(by_task.values()), **task_metrics})

"""A finished study for TensorBoard: every cell with its levels and seed, and the score that the study is judged by."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any

from findna_kit.metrics.hparams import Session, write_hparams
from findna_kit.metrics.writers import BOARD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def write_board(folder: Path, result: Mapping[str, Any]) -> None:
    """`tensorboard/` in the study's folder, of the study's result."""
    write_hparams(folder / BOARD, list(_sessions(result)))


def _sessions(result: Mapping[str, Any]) -> Iterator[Session]:
    """The declared score is the mean over tasks; of several tasks each has its own as well."""
    metric, seeds = result["study"]["metric"], result["seeds"]
    for name, condition in result["conditions"].items():
        for number, seed in enumerate(seeds):
            by_task = {task: scores["each"][number] for task, scores in condition["scores"].items()}
            each = {f"{metric}/{task}": value for task, value in by_task.items()} if len(by_task) > 1 else {}
            levels = condition["levels"]
            settings = {**levels, "seed of the run" if "seed" in levels else "seed": seed}
            yield Session(f"{name}/seed-{seed}", settings, {metric: fmean(by_task.values()), **each})

"""What `run` prints after training: masked nucleotides next to the baselines, and the collapse signals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.cli.console import print_line, print_table
from findna_kit.metrics import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from findna_kit.recipe import Recipe
    from findna_kit.records.run_json import BaselineScore
    from findna_kit.runs import RunResult

_COLLAPSED = {"deviation": "near 0", "rankme": "near 1"}
"""By collapse signal: the value that means collapse."""


def print_summary(recipe: Recipe, result: RunResult) -> None:
    """Print the validation metrics of the last step, next to every baseline, and the collapse signals."""
    metrics = result.metrics
    print_line(f"\n{recipe.name}: {recipe.steps} steps in {result.seconds:.0f} s, seed {recipe.seed} (one seed)")
    for label in recipe.losses:
        rows = _masked_rows(label, metrics, result.baselines)
        if rows:
            print_line(f"\nmasked bases of validation windows ({label}); baselines read the clean context{_fitted_on(result)}")
            print_table([["model", "accuracy", "bits per base"], *rows])
    print_line("\ncollapse signals on validation windows")
    print_table([["signal", "student", "teacher", "means collapse"], *_collapse_rows(recipe, metrics)])


def _fitted_on(result: RunResult) -> str:
    """Return how many bases the baselines were fitted on, or nothing if there are none."""
    # All baselines are fitted on the same bases, so any of the numbers will do.
    bases = max((score.fitted_on_bases for score in result.baselines.values()), default=0)
    return f", fitted on {bases:,} bases of the training split" if bases else ""


def _masked_rows(label: str, metrics: Mapping[str, float], baselines: Mapping[str, BaselineScore]) -> list[list[str]]:
    """Return a row for each branch that predicts masked bases, then one for each baseline; none if no branch does."""
    rows = []
    for branch in ("teacher", "student"):
        accuracy, bits = (names.plain_validation_metric(label, name, branch) for name in ("accuracy", "bits_per_base"))
        if bits in metrics:
            rows.append([branch, f"{metrics[accuracy]:.4f}", f"{metrics[bits]:.4f}"])
    # Baselines without a model to compare with would say nothing about the run.
    if rows:
        rows += [[name, f"{score.accuracy:.4f}", f"{score.bits_per_base:.4f}"] for name, score in baselines.items()]
    return rows


def _collapse_rows(recipe: Recipe, metrics: Mapping[str, float]) -> list[list[str]]:
    """Return a row for each collapse signal of the last validation."""
    rows = []
    for embedding in ("pooled", "class"):
        for signal, meaning in _COLLAPSED.items():
            values = [metrics.get(names.collapse_metric(branch, f"{embedding}_{signal}")) for branch in ("student", "teacher")]
            if None not in values:
                rows.append([f"{embedding} {signal}", *(f"{value:.3f}" for value in values), meaning])
    for label in recipe.losses:
        # ln K is the entropy of the uniform distribution over K prototypes: targets without information.
        share = metrics.get(names.validation_metric(label, "teacher_entropy_share"))
        if share is not None:
            rows.append([f"{label} entropy / ln K", "", f"{share:.3f}", "near 1 (uniform)"])
    return rows

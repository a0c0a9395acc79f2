"""The command run."""

from __future__ import annotations

import sys
from signal import SIGUSR2
from typing import TYPE_CHECKING

from findna_kit.cli import loading, scoring
from findna_kit.cli.loading import refuse_bad_files
from findna_kit.cli.progress import TrainingProgress, reading_bar, table
from findna_kit.distributed import current_launch, supervise
from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from findna_kit.recipe import Recipe
    from findna_kit.records.run_json import BaselineScore
    from findna_kit.runs import Result


def run(
    source: str, *, out: Path | None, resume: Path | None, device: str, overwrite: bool, overrides: Sequence[str],
    without: Sequence[str], reporters: Sequence[str] = (),
) -> None:  # fmt: skip
    """Trains, prints what came out, evaluates."""
    from findna_kit.runs import Reporters, RunLocation, start
    from findna_kit.trainer import Observer

    if out is not None and resume is not None:
        raise FindnaError("--out and --resume name a folder each: give one of them")
    recipe, components, plugins = loading.load(source, overrides, without)
    refuse_bad_files(recipe)
    if current_launch() is None and recipe.trainer.devices * recipe.trainer.nodes > 1:
        sys.exit(_several(recipe))
    chosen = Reporters(reporters)
    with reading_bar() as reading, TrainingProgress(recipe.steps) as progress:
        result = start(
            recipe, RunLocation(out, resume, overwrite), components=components, plugins=plugins, device=device,
            observer=Observer(loading.say, reading, progress), reporters=chosen,
        )  # fmt: skip
    if not result.first:
        return
    summary(recipe, result)
    if recipe.evaluation.tasks:
        wanted = recipe.evaluation
        asked = scoring.asked(",".join(wanted.protocols), seeds=wanted.seeds, device=device, without=without)
        scoring.evaluate(result.folder, wanted.tasks, asked, as_json=False)
    print(f"\n{result.folder}: the run's folder; `tensorboard --logdir {result.folder}` shows its curves")


def _several(recipe: Recipe) -> int:
    """Starts this very command in several processes, and gives their exit code."""
    settings = recipe.trainer
    if settings.nodes > 1:
        raise FindnaError(
            f"trainer.nodes {settings.nodes}: on several machines a launcher starts the processes: "
            "srun findna-kit run ..., or torchrun -m findna_kit run ... on each"
        )
    if recipe.data.batch_size % settings.devices:
        raise FindnaError(f"data.batch_size {recipe.data.batch_size} does not divide into {settings.devices} processes")
    code = supervise(sys.argv[1:], settings.devices)
    if settings.requeue and code == 128 + SIGUSR2:
        from findna_kit.runs.processes import requeue

        loading.say(requeue())
    return code


def summary(recipe: Recipe, result: Result) -> None:
    """Held-out masked bases beside every baseline, then the collapse signals."""
    metrics = result.metrics
    print(f"\n{recipe.name}: {recipe.steps} steps in {result.seconds:.0f} s, seed {recipe.seed} (one seed)")
    for label in recipe.losses:
        rows = _masked_rows(label, metrics, result.baselines)
        if rows:
            print(f"\nmasked bases on held-out windows ({label}); baselines read the clean context{_fitted_on(result)}")
            table([["model", "accuracy", "bits per base"], *rows])
    print("\ncollapse signals on held-out windows")
    table([["signal", "student", "teacher", "means collapse"], *_collapse_rows(recipe, metrics)])


def _fitted_on(result: Result) -> str:
    bases = max((score.fitted_on_bases for score in result.baselines.values()), default=0)
    return f", fitted on {bases:,} bases of the training part" if bases else ""


def _masked_rows(label: str, metrics: Mapping[str, float], baselines: Mapping[str, BaselineScore]) -> list[list[str]]:
    rows = []
    for branch in ("teacher", "student"):
        key = f"held_out_plain/{label}"
        if f"{key}/bits_per_base/{branch}" in metrics:
            rows.append(
                [branch, f"{metrics[f'{key}/accuracy/{branch}']:.4f}", f"{metrics[f'{key}/bits_per_base/{branch}']:.4f}"]
            )
    if rows:
        rows += [[name, f"{score.accuracy:.4f}", f"{score.bits_per_base:.4f}"] for name, score in baselines.items()]
    return rows


def _collapse_rows(recipe: Recipe, metrics: Mapping[str, float]) -> list[list[str]]:
    bad = {"deviation": "near 0", "rankme": "near 1"}
    rows = []
    for what in ("pooled", "class"):
        for signal, meaning in bad.items():
            values = [metrics.get(f"collapse/{branch}/{what}_{signal}") for branch in ("student", "teacher")]
            if None not in values:
                rows.append([f"{what} {signal}", *(f"{value:.3f}" for value in values), meaning])
    for label in recipe.losses:
        share = metrics.get(f"held_out/{label}/teacher_entropy_share")
        if share is not None:
            rows.append([f"{label} entropy / ln K", "", f"{share:.3f}", "near 1 (uniform)"])
    return rows

"""The command `plan`: measure what a recipe or a study costs before it is run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from findna_kit.cli.console import log, print_line, print_table
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Device, Json, Overrides, RecipeOrStudyArgument, Wide, Without, refuse_overrides_of_study
from findna_kit.cli.tables import select

if TYPE_CHECKING:
    from findna_kit.api import preparation, progress
    from findna_kit.plugins import loading
    from findna_kit.profile import flops as flop_counts
    from findna_kit.profile import plan as recipe_plan
    from findna_kit.study import load as study_files
    from findna_kit.study import plan as study_plan
    from findna_kit.study.executors import local
else:
    preparation, progress = LazyModule("findna_kit.api.preparation"), LazyModule("findna_kit.api.progress")
    loading = LazyModule("findna_kit.plugins.loading")
    flop_counts, recipe_plan = LazyModule("findna_kit.profile.flops"), LazyModule("findna_kit.profile.plan")
    study_files, study_plan = LazyModule("findna_kit.study.load"), LazyModule("findna_kit.study.plan")
    local = LazyModule("findna_kit.study.executors.local")

_STUDY_COLUMNS = (0, 2, 4, 7, 8)
"""Main columns of a study's plan: condition, memory, a step, a cell, hours of all seeds."""
_FLOPS_COLUMNS = (0, -1)
"""Main columns of a study's FLOPs: condition, all components."""


@dataclass(frozen=True)
class _Measurement:
    """How to measure and print: the options that a recipe and a study share."""

    device: str
    steps: int
    as_json: bool
    without: Sequence[str]


def plan(
    recipe: RecipeOrStudyArgument,
    steps: Annotated[
        int, typer.Option("--steps", metavar="N", min=1, help="Measure this number of steps after the warm-up.")
    ] = 5,
    jobs: Annotated[
        int, typer.Option("--jobs", metavar="N", min=1, help="Plan for this number of cells of a study at a time.")
    ] = 1,
    device: Device = "auto",
    wide: Wide = False,
    as_json: Json = False,
    overrides: Overrides = None,
    without: Without = None,
) -> None:
    """Measure a few training steps and print parameters, memory, FLOPs and run time of a recipe or a study.

    No run folder is written.
    """
    measurement = _Measurement(device, steps, as_json, without or [])
    if not study_files.is_study(recipe):
        _plan_recipe(recipe, overrides or [], measurement)
        return
    refuse_overrides_of_study(overrides)
    _plan_study(recipe, jobs, measurement, wide=wide)


def _plan_recipe(source: str, overrides: Sequence[str], measurement: _Measurement) -> None:
    """Measure a recipe and print its parameters, memory, maximum batch size, FLOPs and time."""
    recipe, _, _ = preparation.load(source, overrides, measurement.without)
    preparation.check_files(recipe)
    with progress.reading_bar() as reading:
        result = recipe_plan.plan(recipe, device=measurement.device, steps=measurement.steps, log=log, reading=reading)
    if measurement.as_json:
        print(json.dumps(result, indent=1))
        return
    print_table([["parameters", "number"], *([name, f"{number:,}"] for name, number in result["parameters"].items())])
    print()
    print_table([["memory", "MiB"], *_memory_rows(result["memory"])])
    print()
    if "nothing_to_train" in result:
        print_line(f"{result['name']}: there is nothing to train: {result['nothing_to_train']}")
    else:
        _print_largest_batch(result["largest_batch"])
        _print_flops(result["flops"])
        _print_time(result)


def _plan_study(source: str, jobs: int, measurement: _Measurement, *, wide: bool) -> None:
    """Measure each condition of a study and print a row for each, and what all cells take together."""
    components, plugins = loading.load_plugins(measurement.without)
    options = local.ExecutionOptions(jobs, measurement.device, tuple(measurement.without))
    with progress.reading_bar() as reading:
        result = study_plan.plan_study(
            source, options, measurement.steps, components=components, plugins=plugins, check=preparation.dry_assemble,
            log=log, reading=reading,
        )  # fmt: skip
    if measurement.as_json:
        print(json.dumps(result, indent=1))
        return
    rows = study_plan.rows(result)
    print_table(rows if wide else select(rows, *_STUDY_COLUMNS))
    print()
    if any(condition["flops"] for condition in result["conditions"].values()):
        flops = study_plan.flops_rows(result)
        print_table(flops if wide else select(flops, *_FLOPS_COLUMNS))
        print()
    for sentence in result["sentences"]:
        print_line(sentence)


def _memory_rows(memory: Mapping[str, Any]) -> list[list[str]]:
    """Return the rows of the memory table in MiB; the peak is missing where nothing is trained."""
    names = {"weights": "weights of both branches", "optimizer": "optimizer", "gradients": "gradients"}
    # Bytes are counted; MiB are what tools for GPUs and containers print.
    rows = [[title, f"{memory[name] / 2**20:,.1f}"] for name, title in names.items()]
    if "peak" in memory:
        rows.append([f"measured peak, {memory['peak_is']}", f"{memory['peak'] / 2**20:,.1f}"])
    return rows


def _print_largest_batch(batch: Mapping[str, Any]) -> None:
    """Print the maximum batch size, or why it is not known."""
    if "unknown" in batch:
        print_line(f"maximum batch size without gradient accumulation: not known: {batch['unknown']}\n")
        return
    print_line(f"maximum batch size without gradient accumulation: {batch['rows']:,} samples ({batch['how']})\n")


def _print_flops(flops: Mapping[str, Any]) -> None:
    """Print the FLOPs per base of each component, and the operators that could not be counted."""
    print_table(
        [
            ["FLOPs per base", "number"],
            *([flop_counts.TITLES.get(name, name), f"{number:,.0f}"] for name, number in flops["base_by_component"].items()),
            ["total", f"{flops['base']:,.0f}"],
            ["a step", f"{flops['step']:.4g}"],
        ]
    )
    if flops["uncounted"]:
        print_line(f"{flop_counts.UNCOUNTED}: {', '.join(flops['uncounted'])}")
    print()


def _print_time(result: Mapping[str, Any]) -> None:
    """Print the measured times, and the number of steps, validations and checkpoints that the run adds them up for."""
    measured, finish, resolved = result["measured"], result["finish"], result["resolved"]
    step, task_seconds = measured["step_seconds"], measured["task_look_seconds"]
    # A duration means nothing without the machine and settings it was measured with.
    machine = f"{resolved['device']}, {resolved['precision']}, micro-batch {resolved['micro_batch']}"
    rows = [
        ["time", f"{machine}, {resolved['threads']} threads"],
        ["a step", f"{step['median']:.3g} s ({step['lowest']:.3g} to {step['highest']:.3g} over {measured['steps']} steps)"],
        ["steps per second", f"{measured['steps_per_second']:.3g}"],
        ["bases per second", f"{measured['bases_per_second']:,.0f}"],
        ["a validation", f"{measured['look_seconds']:.3g} s"],
        *([["an evaluation of the tasks", f"{task_seconds:.3g} s"]] if task_seconds is not None else []),
        ["a checkpoint", f"{measured['checkpoint_seconds']:.3g} s"],
        ["the whole run", f"{timedelta(seconds=round(finish['seconds']))} h:min:s, {_hours(finish)}"],
    ]
    print_table(rows)
    counts = f"{finish['steps']:,} steps, {finish['looks']:,} validations, {finish['task_looks']:,} evaluations of tasks"
    print_line(
        f"\n{result['name']}: {counts}, {finish['checkpoints']:,} checkpoints; fitting the baselines and the evaluation after "
        "training are not included"
    )


def _hours(finish: Mapping[str, Any]) -> str:
    """Return the cost as `0.0362 core-hours` or `1.2 GPU-hours`."""
    return f"{finish['hours']:.3g} {finish['hours_of']}-hours"

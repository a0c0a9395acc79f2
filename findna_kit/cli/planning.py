"""The command that measures before it trains: plan."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from findna_kit.cli import loading
from findna_kit.cli.progress import reading_bar, table
from findna_kit.errors import FindnaError
from findna_kit.plugins.loading import load_plugins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def plan(
    source: str, *, device: str, steps: int, jobs: int, as_json: bool, overrides: Sequence[str], without: Sequence[str]
) -> None:  # fmt: skip
    """Prints what a run of the recipe, or a study, would cost."""
    from findna_kit.study.load import is_study

    if is_study(source):
        if overrides:
            raise FindnaError("--set is of a recipe; a study states its overrides in its file")
        _plan_study(source, device, steps, jobs, as_json=as_json, without=without)
    else:
        _plan_recipe(source, device, steps, as_json=as_json, overrides=overrides, without=without)


def _plan_recipe(
    source: str, device: str, steps: int, *, as_json: bool, overrides: Sequence[str], without: Sequence[str]
) -> None:  # fmt: skip
    from findna_kit.profile.plan import plan as measured

    recipe, _, _ = loading.load(source, overrides, without)
    loading.refuse_bad_files(recipe)
    with reading_bar() as reading:
        result = measured(recipe, device=device, steps=steps, say=loading.say, reading=reading)
    if as_json:
        print(json.dumps(result, indent=1))
        return
    table([["parameters", "number"], *([name, f"{number:,}"] for name, number in result["parameters"].items())])
    print()
    table([["memory", "MiB"], *_memory_rows(result["memory"])])
    print()
    if "nothing_to_train" in result:
        print(f"{result['name']}: there is nothing to train: {result['nothing_to_train']}")
    else:
        _print_room(result["largest_batch"])
        _print_flops(result["flops"])
        _print_time(result)


def _plan_study(source: str, device: str, steps: int, jobs: int, *, as_json: bool, without: Sequence[str]) -> None:
    from findna_kit.study.executors.local import ExecutionOptions
    from findna_kit.study.plan import flops_rows, plan_study, rows

    components, plugins = load_plugins(without)
    with reading_bar() as reading:
        result = plan_study(
            source, ExecutionOptions(jobs, device, tuple(without)), steps, components=components, plugins=plugins, check=loading.examine,
            say=loading.say, reading=reading,
        )  # fmt: skip
    if as_json:
        print(json.dumps(result, indent=1))
        return
    table(rows(result))
    print()
    if any(one["flops"] for one in result["conditions"].values()):
        table(flops_rows(result))
        print()
    for sentence in result["sentences"]:
        print(sentence)


def _memory_rows(memory: Mapping[str, Any]) -> list[list[str]]:
    names = {"weights": "weights of both branches", "optimizer": "optimizer", "gradients": "gradients"}
    rows = [[title, f"{memory[name] / 2**20:,.1f}"] for name, title in names.items()]
    if "peak" in memory:
        rows.append([f"measured peak, {memory['peak_is']}", f"{memory['peak'] / 2**20:,.1f}"])
    return rows


def _print_room(room: Mapping[str, Any]) -> None:
    if "unknown" in room:
        print(f"the largest batch that fits in one pass is not known: {room['unknown']}\n")
        return
    print(f"the largest batch that fits in one pass: {room['rows']:,} rows ({room['how']})\n")


def _print_flops(flops: Mapping[str, Any]) -> None:
    from findna_kit.profile.flops import TITLES, UNCOUNTED

    by_base = flops["base_by_component"]
    table(
        [
            ["FLOPs per base", "number"],
            *([TITLES.get(name, name), f"{number:,.0f}"] for name, number in by_base.items()),
            ["all", f"{flops['base']:,.0f}"],
            ["a step", f"{flops['step']:.4g}"],
        ]
    )
    if flops["uncounted"]:
        print(f"{UNCOUNTED}: {', '.join(flops['uncounted'])}")
    print()


def _print_time(result: Mapping[str, Any]) -> None:
    measured, finish, resolved = result["measured"], result["finish"], result["resolved"]
    step = measured["step_seconds"]
    how = f"{resolved['device']}, {resolved['precision']}, micro-batch {resolved['micro_batch']}, {resolved['threads']} threads"
    spread = f"{step['median']:.3g} s ({step['lowest']:.3g} to {step['highest']:.3g} over {measured['steps']} steps)"
    task_look = measured["task_look_seconds"]
    table(
        [
            ["time", how],
            ["a step", spread],
            ["steps per second", f"{measured['steps_per_second']:.3g}"],
            ["bases per second", f"{measured['bases_per_second']:,.0f}"],
            ["a look at the held-out windows", f"{measured['look_seconds']:.3g} s"],
            *([["a look at the tasks", f"{task_look:.3g} s"]] if task_look is not None else []),
            ["a checkpoint", f"{measured['checkpoint_seconds']:.3g} s"],
            ["to finish", f"{timedelta(seconds=round(finish['seconds']))} h:min:s, {_hours(finish)}"],
        ]
    )
    print(
        f"\n{result['name']}: {finish['steps']:,} steps, {finish['looks']:,} looks, {finish['task_looks']:,} at tasks, and "
        f"{finish['checkpoints']:,} checkpoints; counting baselines and the evaluation after training come on top"
    )


def _hours(finish: Mapping[str, Any]) -> str:
    return f"{finish['hours']:.3g} {finish['hours_of']}-hours"

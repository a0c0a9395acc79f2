"""What a study would cost, and what it could show: each condition measured once, before anything is run."""

from __future__ import annotations

import heapq
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from findna_kit.assemble import assemble
from findna_kit.distributed import choose_device
from findna_kit.profile.flops import TITLES, UNCOUNTED
from findna_kit.profile.max_batch import largest_batch, peak_tensor_bytes
from findna_kit.profile.plan import flops_of, memory_of, parameters_of
from findna_kit.study.budgets import ROUNDS, Operations, Time, paces, recipes_of, subjects_of
from findna_kit.study.executors.local import cell_threads
from findna_kit.study.load import cells_of, load_study
from findna_kit.study.results import smallest_p_of, warnings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.profile.throughput import Throughput
    from findna_kit.profile.workload import Workload
    from findna_kit.recipe import Recipe
    from findna_kit.study.executors.local import ExecutionOptions
    from findna_kit.study.schema import Budget, Study


def plan_study(
    given: str, way: ExecutionOptions, steps: int, *, components: Components, plugins: Sequence[Plugin], check: Callable[[Recipe], object],
    say: Callable[[str], None], reading: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The plan, ready for JSON; `steps` of every condition are taken and thrown away. Raises FindnaError; NotFinite."""
    stated = load_study(given)
    study = stated.study
    cells = cells_of(stated, components, [plugin for plugin in plugins if plugin.failure], check)
    recipes = recipes_of(cells)
    subjects = subjects_of(recipes, way, reading)
    timed = study.budget is not None and study.budget.seconds is not None
    measured = paces(subjects, way, ROUNDS if timed else 1, steps, say)
    conditions = {}
    for name, recipe in recipes.items():
        if name not in subjects:
            conditions[name] = _of_none(recipe)
            continue
        flops, pace = flops_of(subjects[name]), measured[name]
        own = _steps(study.budget, recipe, flops["step"], pace, way)
        seconds = pace.finish(recipe, own)["seconds"]
        conditions[name] = {
            "parameters": parameters_of(subjects[name].experiment()),
            "memory": _memory(subjects[name]),
            "largest_batch": largest_batch(subjects[name]),
            "flops": flops,
            "measured": pace.plain(subjects[name].bases),
            "steps": own,
            "cell_seconds": seconds,
            "cell_hours": _hours(seconds, way, recipe),
        }
    return _result(study, way, conditions)


def _steps(budget: Budget | None, recipe: Recipe, flops: int, pace: Throughput, way: ExecutionOptions) -> int:
    """What the budget gives; 0 where it is too small for one."""
    if budget is None or not budget.measured:
        return recipe.steps
    if budget.flops is not None:
        return Operations(flops).within(budget) if flops else 0
    return Time(recipe, pace, cell_threads(way, recipe)).within(budget)


def _of_none(recipe: Recipe) -> dict[str, Any]:
    """Of a condition that trains nothing."""
    unknown = dict.fromkeys(("memory", "largest_batch", "flops", "measured"))
    parameters = parameters_of(assemble(recipe, device="meta"))
    return {"parameters": parameters, **unknown, "steps": 0, "cell_seconds": 0.0, "cell_hours": 0.0}


def _memory(subject: Workload) -> dict[str, int]:
    """Bytes by counting tensors: what one process that measures many has held says nothing of one of them.

    step: the most that is held beside weights and moments while a step is computed, gradients among it.
    """
    experiment = subject.experiment()
    counted = memory_of(experiment)
    step = peak_tensor_bytes(subject, experiment, subject.recipe.data.batch_size, subject.micro_batch)
    return {**counted, "step": step, "peak": counted["weights"] + counted["optimizer"] + step}


def _hours(seconds: float, way: ExecutionOptions, recipe: Recipe) -> float:
    """Of a GPU, or of as many cores as a cell has threads."""
    threads = 1 if _on_gpu(way) else cell_threads(way, recipe)
    return threads * seconds / 3600


def _on_gpu(way: ExecutionOptions) -> bool:
    return choose_device(way.device).type == "cuda"


def _result(study: Study, way: ExecutionOptions, conditions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    seeds = len(study.every_seed)
    each = [one["cell_seconds"] for one in conditions.values() for _ in study.every_seed]
    hours = seeds * sum(one["cell_hours"] for one in conditions.values())
    total = {
        "cells": len(each), "seeds": seeds, "jobs": way.jobs, "hours": hours,
        "hours_of": "GPU" if _on_gpu(way) else "core", "wall_seconds": _wall(each, way.jobs),
    }  # fmt: skip
    result = {"study": study.name, **total, "smallest_p": smallest_p_of(study), "conditions": dict(conditions)}
    said = [_total(result), *_uncounted(conditions), *_of_budget(study.budget, conditions), *warnings_of(study)]
    return {**result, "sentences": said}


def _wall(cells: Sequence[float], jobs: int) -> float:
    """Seconds until the last one ends, where each begins as soon as one of `jobs` places is free."""
    free = [0.0] * jobs
    for seconds in cells:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def _total(result: Mapping[str, Any]) -> str:
    ends = timedelta(seconds=round(result["wall_seconds"]))
    beside = ", each as fast as it was alone" if result["jobs"] > 1 else ""
    cost = f"{result['cells']} cells, {result['hours']:.3g} {result['hours_of']}-hours of training"
    return (
        f"{result['study']}: {cost}; {ends} h:min:s with --jobs {result['jobs']}{beside}; "
        "each cell's start and evaluation come on top"
    )


def _uncounted(conditions: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"{name}: {UNCOUNTED}: {', '.join(one['flops']['uncounted'])}"
        for name, one in conditions.items()
        if one["flops"] is not None and one["flops"]["uncounted"]
    ]


def _of_budget(budget: Budget | None, conditions: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if budget is None:
        return []
    stated = ", ".join(f"{name} {value:g}" for name, value in budget.model_dump(exclude_none=True).items())
    said = [f"budget: {stated} a cell"]
    if budget.seconds is not None:
        said.append("ablate measures again, before its first cell, and keeps what it finds: its steps may be a little others")
    return said + [
        f"{name}: the budget is too small for a step"
        for name, one in conditions.items()
        if one["measured"] is not None and not one["steps"]
    ]


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A header, then each condition."""
    hours = f"{result['hours_of']}-hours, {result['seeds']} seed{'' if result['seeds'] == 1 else 's'}"
    head = ["condition", "parameters", "memory, MiB", "largest batch", "a step", "steps/s", "steps", "a cell", hours]
    return [head, *(_row(name, one, result["seeds"]) for name, one in result["conditions"].items())]


def _row(name: str, one: Mapping[str, Any], seeds: int) -> list[str]:
    trained = f"{one['parameters']['trained']:,}"
    if one["measured"] is None:
        return [name, trained, "", "", "", "", "0", "trains nothing", ""]
    measured, room = one["measured"], one["largest_batch"]
    return [
        name, trained, f"{one['memory']['peak'] / 2**20:,.1f}", f"{room['rows']:,}" if "rows" in room else "not known",
        f"{measured['step_seconds']['median']:.3g} s", f"{measured['steps_per_second']:.3g}", f"{one['steps']:,}",
        f"{timedelta(seconds=round(one['cell_seconds']))}", f"{seeds * one['cell_hours']:.3g}",
    ]  # fmt: skip


def flops_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A header, then each condition that trains: FLOPs per base of each component that any of them has, and of all."""
    counted = {name: one["flops"] for name, one in result["conditions"].items() if one["flops"] is not None}
    components = list(dict.fromkeys(part for flops in counted.values() for part in flops["base_by_component"]))
    head = ["FLOPs per base", *(TITLES.get(part, part) for part in components), "all"]
    return [head, *([name, *_parts(flops, components), f"{flops['base']:,.0f}"] for name, flops in counted.items())]


def _parts(flops: Mapping[str, Any], components: Sequence[str]) -> list[str]:
    by_base = flops["base_by_component"]
    return [f"{by_base[part]:,.0f}" if part in by_base else "" for part in components]

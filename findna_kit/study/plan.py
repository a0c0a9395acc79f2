"""Plan of a study: its cost, and what it can show. Each condition is measured once, before anything is run."""

from __future__ import annotations

import heapq
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from findna_kit.assemble import assemble
from findna_kit.distributed import choose_device
from findna_kit.profile.flops import TITLES, UNCOUNTED
from findna_kit.profile.max_batch import largest_batch, peak_tensor_bytes
from findna_kit.profile.plan import flops_of, memory_of, parameters_of
from findna_kit.study.budgets import (
    ROUNDS,
    FlopsCost,
    TimeCost,
    measure_throughput,
    prepare_workloads,
    recipes_by_condition,
)
from findna_kit.study.executors.local import cell_threads
from findna_kit.study.load import build_cells, load_study
from findna_kit.study.results import design_warnings, smallest_condition_p

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.profile.flops import FlopsReport
    from findna_kit.profile.max_batch import MaxBatch
    from findna_kit.profile.throughput import Throughput, ThroughputReport
    from findna_kit.profile.workload import Workload
    from findna_kit.recipe import Recipe
    from findna_kit.study.executors.local import ExecutionOptions
    from findna_kit.study.schema import Budget, Study


class ConditionPlan(TypedDict):
    """Cost of one condition. What only a measurement can give is None for a condition that is not trained.

    flops, largest_batch and measured have the keys that the plan of a single recipe has. cell_hours: of a GPU or of cores.
    """

    parameters: dict[str, int]
    memory: dict[str, int] | None
    largest_batch: MaxBatch | None
    flops: FlopsReport | None
    measured: ThroughputReport | None
    steps: int
    cell_seconds: float
    cell_hours: float


class StudyPlan(TypedDict):
    """Cost of a study, ready for JSON. A dictionary rather than a model, because `plan --json` prints it as it is.

    hours: of all cells; hours_of: GPU or core. wall_seconds: with `jobs` cells at a time. sentences: a summary in words.
    """

    study: str
    cells: int
    seeds: int
    jobs: int
    hours: float
    hours_of: str
    wall_seconds: float
    smallest_p: float
    conditions: dict[str, ConditionPlan]
    sentences: list[str]


def plan_study(
    source: str, options: ExecutionOptions, steps: int, *, components: Components, plugins: Sequence[Plugin],
    check: Callable[[Recipe], object], log: Callable[[str], None], reading: Callable[[int, int], None] | None = None,
) -> StudyPlan:  # fmt: skip
    """Return the plan of a study, ready for JSON. Raise FindnaError; NotFinite where a loss is not finite.

    steps: how many of every condition are measured, and then discarded. reading: called with the progress of reading a genome.
    """
    loaded = load_study(source)
    study = loaded.study
    cells = build_cells(loaded, components, [plugin for plugin in plugins if plugin.failure], check)
    recipes = recipes_by_condition(cells)
    workloads = prepare_workloads(recipes, options, reading)
    # Where the budget is time, the plan measures as carefully as `ablate` does, since the number of steps follows from it.
    rounds = ROUNDS if study.budget is not None and study.budget.seconds is not None else 1
    measured = measure_throughput(workloads, options, rounds, steps, log)
    conditions: dict[str, ConditionPlan] = {}
    for name, recipe in recipes.items():
        if name in workloads:
            conditions[name] = _condition_plan(study.budget, recipe, workloads[name], measured[name], options)
        else:
            conditions[name] = _untrained_plan(recipe)
    return _study_plan(study, options, conditions)


def _condition_plan(
    budget: Budget | None, recipe: Recipe, workload: Workload, throughput: Throughput, options: ExecutionOptions
) -> ConditionPlan:
    flops = flops_of(workload)
    steps = _planned_steps(budget, recipe, flops["step"], throughput, options)
    seconds = throughput.finish(recipe, steps)["seconds"]
    return {
        "parameters": parameters_of(workload.experiment()),
        "memory": _memory(workload),
        "largest_batch": largest_batch(workload),
        "flops": flops,
        "measured": throughput.plain(workload.bases),
        "steps": steps,
        "cell_seconds": seconds,
        "cell_hours": _billed_hours(seconds, options, recipe),
    }


def _planned_steps(budget: Budget | None, recipe: Recipe, flops: int, throughput: Throughput, options: ExecutionOptions) -> int:
    """Return the steps that the budget allows; 0 where it is smaller than one step."""
    if budget is None or not budget.measured:
        return recipe.steps
    if budget.flops is not None:
        return FlopsCost(flops).affordable_steps(budget) if flops else 0
    return TimeCost(recipe, throughput, cell_threads(options, recipe)).affordable_steps(budget)


def _untrained_plan(recipe: Recipe) -> ConditionPlan:
    """Return the plan of a condition that is not trained."""
    # On the device `meta` the network has parameters to count, but no memory is allocated for them.
    parameters = parameters_of(assemble(recipe, device="meta"))
    return {
        "parameters": parameters, "memory": None, "largest_batch": None, "flops": None, "measured": None, "steps": 0,
        "cell_seconds": 0.0, "cell_hours": 0.0,
    }  # fmt: skip


def _memory(workload: Workload) -> dict[str, int]:
    """Return the bytes of weights, optimizer and step, found by counting tensors.

    step: the peak while a step is computed, including gradients, beyond weights and optimizer. A measured peak of this process
    would be of no use: it measures all conditions, one after the other.
    """
    experiment = workload.experiment()
    counted = memory_of(experiment)
    step = peak_tensor_bytes(workload, experiment, workload.recipe.data.batch_size, workload.micro_batch)
    return {**counted, "step": step, "peak": counted["weights"] + counted["optimizer"] + step}


def _billed_hours(seconds: float, options: ExecutionOptions, recipe: Recipe) -> float:
    """Return GPU-hours or, without a GPU, core-hours."""
    threads = 1 if _on_gpu(options) else cell_threads(options, recipe)
    return threads * seconds / 3600


def _on_gpu(options: ExecutionOptions) -> bool:
    return choose_device(options.device).type == "cuda"


def _study_plan(study: Study, options: ExecutionOptions, conditions: dict[str, ConditionPlan]) -> StudyPlan:
    seeds = len(study.every_seed)
    durations = [condition["cell_seconds"] for condition in conditions.values() for _ in study.every_seed]
    plan = StudyPlan(
        study=study.name, cells=len(durations), seeds=seeds, jobs=options.jobs,
        hours=seeds * sum(condition["cell_hours"] for condition in conditions.values()),
        hours_of="GPU" if _on_gpu(options) else "core", wall_seconds=_wall_seconds(durations, options.jobs),
        smallest_p=smallest_condition_p(study), conditions=conditions, sentences=[],
    )  # fmt: skip
    plan["sentences"] = [
        _total_sentence(plan),
        *_uncounted_sentences(conditions),
        *_budget_sentences(study.budget, conditions),
        *design_warnings(study),
    ]
    return plan


def _wall_seconds(cells: Sequence[float], jobs: int) -> float:
    """Return the seconds until the last cell ends, if each starts as soon as one of `jobs` slots is free."""
    free_at = [0.0] * jobs  # a heap: its first element is the slot that is free first
    for seconds in cells:
        heapq.heapreplace(free_at, free_at[0] + seconds)
    return max(free_at)


def _total_sentence(result: StudyPlan) -> str:
    duration = timedelta(seconds=round(result["wall_seconds"]))
    assumption = ", if cells do not slow each other down" if result["jobs"] > 1 else ""
    cost = f"{result['cells']} cells, {result['hours']:.3g} {result['hours_of']}-hours of training"
    return (
        f"{result['study']}: {cost}; {duration} h:min:s with --jobs {result['jobs']}{assumption}; "
        "start-up and evaluation of each cell are not included"
    )


def _uncounted_sentences(conditions: Mapping[str, ConditionPlan]) -> list[str]:
    return [
        f"{name}: {UNCOUNTED}: {', '.join(condition['flops']['uncounted'])}"
        for name, condition in conditions.items()
        if condition["flops"] is not None and condition["flops"]["uncounted"]
    ]


def _budget_sentences(budget: Budget | None, conditions: Mapping[str, ConditionPlan]) -> list[str]:
    if budget is None:
        return []
    values = ", ".join(f"{name} {value:g}" for name, value in budget.model_dump(exclude_none=True).items())
    sentences = [f"budget: {values} for each cell"]
    if budget.seconds is not None:
        sentences.append("ablate measures again before its first cell and keeps the result, so its steps may differ slightly")
    return sentences + [
        f"{name}: the budget is smaller than one step"
        for name, condition in conditions.items()
        if condition["measured"] is not None and not condition["steps"]
    ]


def rows(result: StudyPlan) -> list[list[str]]:
    """Return a header and a row for each condition."""
    hours = f"{result['hours_of']}-hours, {result['seeds']} seed{'' if result['seeds'] == 1 else 's'}"
    head = ["condition", "parameters", "memory, MiB", "max. batch", "time/step", "steps/s", "steps", "time/cell", hours]
    return [head, *(_row(name, condition, result["seeds"]) for name, condition in result["conditions"].items())]


def _row(name: str, condition: ConditionPlan, seeds: int) -> list[str]:
    trained = f"{condition['parameters']['trained']:,}"
    measured, batch, memory = condition["measured"], condition["largest_batch"], condition["memory"]
    if measured is None or batch is None or memory is None:
        return [name, trained, "", "", "", "", "0", "not trained", ""]
    return [
        name, trained, f"{memory['peak'] / 2**20:,.1f}", f"{batch['rows']:,}" if "rows" in batch else "unknown",
        f"{measured['step_seconds']['median']:.3g} s", f"{measured['steps_per_second']:.3g}", f"{condition['steps']:,}",
        f"{timedelta(seconds=round(condition['cell_seconds']))}", f"{seeds * condition['cell_hours']:.3g}",
    ]  # fmt: skip


def flops_rows(result: StudyPlan) -> list[list[str]]:
    """Return a header and a row for each trained condition: FLOPs per base by component, and in total."""
    counted = {name: one["flops"] for name, one in result["conditions"].items() if one["flops"] is not None}
    components = list(dict.fromkeys(component for flops in counted.values() for component in flops["base_by_component"]))
    head = ["FLOPs per base", *(TITLES.get(component, component) for component in components), "total"]
    return [head, *([name, *_by_component(flops, components), f"{flops['base']:,.0f}"] for name, flops in counted.items())]


def _by_component(flops: Mapping[str, Any], components: Sequence[str]) -> list[str]:
    by_base = flops["base_by_component"]
    return [f"{by_base[component]:,.0f}" if component in by_base else "" for component in components]

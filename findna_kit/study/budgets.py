"""Conversion of a study's budget to steps of each condition, before the first cell starts; the result is kept in steps.json."""

from __future__ import annotations

import platform
from bisect import bisect_right
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import torch

from findna_kit.errors import FindnaError, NotFinite, OutputExists
from findna_kit.profile.flops import UNCOUNTED
from findna_kit.profile.plan import flops_of
from findna_kit.profile.throughput import combine, measure
from findna_kit.profile.workload import prepare_workload
from findna_kit.study.executors.local import cell_threads
from findna_kit.study.files import STEPS, ConditionSteps, StepsRecord, read_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from findna_kit.profile.throughput import Throughput
    from findna_kit.profile.workload import Workload
    from findna_kit.recipe import Recipe
    from findna_kit.study.executors.local import ExecutionOptions
    from findna_kit.study.schema import Budget, StudyCell

ROUNDS, STEPS_PER_ROUND = 3, 5
"""How often every condition is measured, and the steps of each measurement."""


def recipes_by_condition(cells: Sequence[StudyCell]) -> dict[str, Recipe]:
    """Return each condition's recipe with its first seed."""
    recipes: dict[str, Recipe] = {}
    for cell in cells:
        recipes.setdefault(cell.condition, cell.recipe)
    return recipes


def apply_steps(record: StepsRecord, cells: Sequence[StudyCell]) -> list[StudyCell]:
    """Return the cells with the steps of their conditions."""
    return [
        replace(cell, recipe=cell.recipe.model_copy(update={"steps": record.conditions[cell.condition].steps}))
        for cell in cells
    ]


def record_given_steps(budget: Budget, cells: Sequence[StudyCell]) -> StepsRecord:
    """Return the record for a budget of steps or tokens, whose cells got their steps when their recipes were loaded."""
    conditions = {
        name: ConditionSteps(steps=recipe.steps, recipe=_digest(recipe)) for name, recipe in recipes_by_condition(cells).items()
    }
    return StepsRecord(budget=budget.model_dump(exclude_none=True), conditions=conditions)


def determine_steps(
    budget: Budget, cells: Sequence[StudyCell], folder: Path, options: ExecutionOptions, log: Callable[[str], None]
) -> StepsRecord:  # fmt: skip
    """Return the steps from the study's folder or, where it has none, from counting or measuring now. Nothing is written.

    Raises FindnaError, by condition, where the budget is smaller than one step or nothing can be measured; OutputExists where
    the folder has the steps of other recipes; NotFinite where a loss is not finite.
    """
    recipes = recipes_by_condition(cells)
    if (folder / STEPS).is_file():
        return _read_steps(folder / STEPS, recipes)
    # FLOPs are counted once and are exact; seconds are measured several times and depend on this machine.
    costs: Mapping[str, FlopsCost | TimeCost]
    costs = _count_flops(recipes, options, log) if budget.flops is not None else _measure_time(recipes, options, log)
    conditions, problems = dict[str, ConditionSteps](), list[str]()
    for name, recipe in recipes.items():
        cost = costs.get(name)  # None for a condition that is not trained
        steps = 0 if cost is None else cost.affordable_steps(budget)
        if cost is not None and not steps:
            problems += [f"the condition {name}:", cost.too_expensive(budget)]
        measurements = {} if cost is None else cost.measurements()
        conditions[name] = ConditionSteps.model_validate({"steps": steps, "recipe": _digest(recipe), **measurements})
    if problems:
        raise FindnaError("\n".join(problems))
    return StepsRecord(
        budget=budget.model_dump(exclude_none=True), conditions=conditions, machine=platform.node(),
        processor=platform.machine(), torch=torch.__version__,
    )  # fmt: skip


def _read_steps(path: Path, recipes: Mapping[str, Recipe]) -> StepsRecord:
    """Return the content of steps.json. Raise OutputExists where a condition's recipe has changed since it was written."""
    record = read_model(StepsRecord, path)
    # A condition that was changed since then may cost more or less, and the measurements of the others are not repeated.
    changed = [
        name
        for name, recipe in recipes.items()
        if name not in record.conditions or record.conditions[name].recipe != _digest(recipe)
    ]
    if changed:
        raise OutputExists(
            f"{path}: has the steps of other recipes ({', '.join(changed)}); take another --out, or undo the changes"
        )
    return record


def _digest(recipe: Recipe) -> str:
    """Return a digest of the recipe without its number of steps, which the budget replaces."""
    # Zero steps (an untrained condition) must differ from a number of steps, but the number itself must not matter.
    text = recipe.model_copy(update={"steps": min(1, recipe.steps)}).dump()
    return blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class FlopsCost:
    """Floating-point operations of one step of a condition."""

    step: int

    def affordable_steps(self, budget: Budget) -> int:
        """Return how many steps the budget allows."""
        return int((budget.flops or 0) // self.step)

    def too_expensive(self, budget: Budget) -> str:
        """Return why the budget allows no step."""
        return f"a step takes {self.step:.4g} floating-point operations, more than the budget's {budget.flops:.4g} flops"

    def measurements(self) -> dict[str, int | float | None]:
        """Return the values for steps.json."""
        return {"flops_per_step": self.step}


@dataclass(frozen=True)
class TimeCost:
    """Seconds that steps, validation and checkpoints of a condition take with a number of threads."""

    recipe: Recipe
    throughput: Throughput
    threads: int

    def seconds(self, steps: int) -> float:
        """Return the duration of a training, without start-up (imports, compilation), which is the same for any budget."""
        return replace(self.throughput, start=0.0).finish(self.recipe, steps)["seconds"]

    def affordable_steps(self, budget: Budget) -> int:
        """Return how many steps, with their validation and checkpoints, fit the budget."""
        seconds = budget.seconds or 0.0
        # Validation and checkpoints come at intervals, so the duration is not linear in the steps: search instead of divide.
        # Without validation and checkpoints seconds / step steps would fit, so the answer cannot be larger than that.
        return bisect_right(range(1, int(seconds / self.throughput.step) + 2), seconds, key=self.seconds)

    def too_expensive(self, budget: Budget) -> str:
        """Return why the budget allows no step."""
        duration = f"one step with its validation and checkpoints takes {self.seconds(1):.3g} s"
        return f"{duration}, more than the budget's {budget.seconds:g} seconds"

    def measurements(self) -> dict[str, int | float | None]:
        """Return the values for steps.json."""
        throughput = self.throughput
        return {
            "step_seconds": throughput.step, "look_seconds": throughput.look, "task_look_seconds": throughput.task_look,
            "checkpoint_seconds": throughput.save, "threads": self.threads,
        }  # fmt: skip


def prepare_workloads(
    recipes: Mapping[str, Recipe], options: ExecutionOptions, reading: Callable[[int, int], None] | None = None
) -> dict[str, Workload]:  # fmt: skip
    """Return a workload for every condition that is trained. Raise FindnaError, by condition, for what cannot be measured.

    reading: is called with the progress of reading a genome.
    """
    workloads: dict[str, Workload] = {}
    problems: list[str] = []
    for name, recipe in recipes.items():
        try:
            if recipe.steps:  # an untrained condition costs nothing
                workloads[name] = prepare_workload(recipe, options.device, reading)
        except FindnaError as error:
            problems += [f"the condition {name}:", *str(error).splitlines()]
    if problems:
        raise FindnaError("\n".join(problems))
    return workloads


def measure_throughput(
    workloads: Mapping[str, Workload], options: ExecutionOptions, rounds: int, steps: int, log: Callable[[str], None]
) -> dict[str, Throughput]:  # fmt: skip
    """Return the throughput of each condition, measured with as many threads as a cell will have.

    Conditions take turns, and every other round goes backwards, so that a temporary load on the machine affects all of them.
    Raises NotFinite.
    """
    measured: dict[str, list[Throughput]] = {name: [] for name in workloads}
    for number in range(rounds):
        for name in list(workloads)[:: 1 if number % 2 == 0 else -1]:
            log(f"{name}: measuring {steps} steps" + (f", round {number + 1} of {rounds}" if rounds > 1 else ""))
            with _torch_threads(cell_threads(options, workloads[name].recipe)):
                try:
                    measured[name].append(measure(workloads[name], steps))
                except NotFinite as error:
                    raise NotFinite(f"the condition {name}: {error}") from error
    return {name: combine(measurements) for name, measurements in measured.items()}


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """Set the number of threads of torch within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _count_flops(recipes: Mapping[str, Recipe], options: ExecutionOptions, log: Callable[[str], None]) -> dict[str, FlopsCost]:
    """Return the FLOPs of each trained condition. Raise FindnaError where none of its operations can be counted."""
    log("flops: counting the operations of one step of every condition")
    costs = dict[str, FlopsCost]()
    # Counted in this one process, whatever the recipe's number of processes: together they do the work of one.
    workloads = prepare_workloads({name: _single_process(recipe) for name, recipe in recipes.items()}, options)
    for name, workload in workloads.items():
        flops = flops_of(replace(workload, micro_batch=_samples_per_pass(recipes[name], workload.micro_batch)))
        if flops["uncounted"]:
            log(f"{name}: {UNCOUNTED}: {', '.join(flops['uncounted'])}")
        if not flops["step"]:
            raise FindnaError(f"the condition {name}:\nno operation of its step can be counted; use seconds, or steps")
        costs[name] = FlopsCost(flops["step"])
    return costs


def _single_process(recipe: Recipe) -> Recipe:
    """Return the recipe for one process, which takes the whole global batch: the work of all processes together."""
    return recipe.model_copy(update={"trainer": recipe.trainer.model_copy(update={"devices": 1, "nodes": 1})})


def _samples_per_pass(recipe: Recipe, micro_batch: int) -> int:
    """Return the samples in one pass of all processes; a batch-coupled loss needs a second pass if it is not all of them."""
    processes = recipe.trainer.devices * recipe.trainer.nodes
    return processes * min(micro_batch, recipe.data.batch_size // processes)


def _measure_time(recipes: Mapping[str, Recipe], options: ExecutionOptions, log: Callable[[str], None]) -> dict[str, TimeCost]:
    """Return the measured durations of each trained condition."""
    log("seconds: measuring every condition on this machine; the result is kept and not measured again")
    measured = measure_throughput(prepare_workloads(recipes, options), options, ROUNDS, STEPS_PER_ROUND, log)
    return {
        name: TimeCost(recipes[name], throughput, cell_threads(options, recipes[name])) for name, throughput in measured.items()
    }

"""The steps that a budget gives each condition: found before the first cell starts, and kept."""

from __future__ import annotations

import json
import platform
from bisect import bisect_right
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import torch

from findna_kit.errors import FindnaError, NotFinite, OutputExists
from findna_kit.profile.flops import UNCOUNTED
from findna_kit.profile.plan import flops_of
from findna_kit.profile.throughput import joined, measure
from findna_kit.profile.workload import ready
from findna_kit.records.json_files import write_json
from findna_kit.study.executors.local import cell_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from findna_kit.profile.throughput import Throughput
    from findna_kit.profile.workload import Workload
    from findna_kit.recipe import Recipe
    from findna_kit.study.executors.local import ExecutionOptions
    from findna_kit.study.schema import Budget, Cell

STEPS = "steps.json"
ROUNDS, MEASURED = 3, 5
"""Measurements of every condition, and steps of each."""


@dataclass(frozen=True)
class Found:
    """What a budget gives: steps by condition and, ready for JSON, what follows from what."""

    steps: Mapping[str, int]
    kept: Mapping[str, Any]

    def given(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells with their steps."""
        return [replace(one, recipe=one.recipe.model_copy(update={"steps": self.steps[one.condition]})) for one in cells]

    def write(self, folder: Path) -> None:
        """Keeps them with the study, for good: a call that goes on with it counts and measures nothing."""
        write_json(folder / STEPS, dict(self.kept))


def recipes_of(cells: Sequence[Cell]) -> dict[str, Recipe]:
    """By condition: the recipe of its first seed."""
    recipes: dict[str, Recipe] = {}
    for one in cells:
        recipes.setdefault(one.condition, one.recipe)
    return recipes


def as_stated(budget: Budget, cells: Sequence[Cell]) -> Found:
    """Of a budget in steps or tokens, whose cells have their steps since they were read."""
    recipes = recipes_of(cells)
    conditions = {name: {"steps": recipe.steps, "recipe": _digest(recipe)} for name, recipe in recipes.items()}
    kept = {"budget": budget.model_dump(exclude_none=True), "conditions": conditions}
    return Found({name: recipe.steps for name, recipe in recipes.items()}, kept)


def found(budget: Budget, cells: Sequence[Cell], folder: Path, way: ExecutionOptions, say: Callable[[str], None]) -> Found:
    """What the study's folder has or, where it has none, what is counted or measured now. Nothing is written.

    Raises FindnaError, by condition, where not one step fits or nothing can be measured; OutputExists where what the folder has
    is of other recipes; NotFinite.
    """
    recipes = recipes_of(cells)
    if (folder / STEPS).is_file():
        return _read(folder / STEPS, recipes)
    costs = _counted(recipes, way, say) if budget.flops is not None else _timed(recipes, way, say)
    steps, wrong = dict[str, int](), list[str]()
    for name, recipe in recipes.items():
        steps[name] = costs[name].within(budget) if name in costs else 0
        if recipe.steps and not steps[name]:
            wrong += [f"the condition {name}:", costs[name].too_dear(budget)]
    if wrong:
        raise FindnaError("\n".join(wrong))
    conditions = {
        name: {"steps": steps[name], "recipe": _digest(recipe), **(costs[name].plain() if name in costs else {})}
        for name, recipe in recipes.items()
    }
    machine = {"machine": platform.node(), "processor": platform.machine(), "torch": torch.__version__}
    return Found(steps, {"budget": budget.model_dump(exclude_none=True), "conditions": conditions, **machine})


def _read(path: Path, recipes: Mapping[str, Recipe]) -> Found:
    kept = json.loads(path.read_text())
    changed = [name for name, recipe in recipes.items() if kept["conditions"].get(name, {}).get("recipe") != _digest(recipe)]
    if changed:
        raise OutputExists(
            f"{path}: has the steps of other recipes ({', '.join(changed)}); take another --out, or give back what was changed"
        )
    return Found({name: kept["conditions"][name]["steps"] for name in recipes}, kept)


def _digest(recipe: Recipe) -> str:
    """Of all that the recipe states but its own steps, which the budget replaces."""
    text = recipe.model_copy(update={"steps": min(1, recipe.steps)}).dump()
    return blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Operations:
    """What a step of a condition costs, in floating-point operations."""

    step: int

    def within(self, budget: Budget) -> int:
        """How many steps the budget pays for."""
        return int((budget.flops or 0) // self.step)

    def too_dear(self, budget: Budget) -> str:
        """Why it pays for none."""
        return f"a step takes {self.step:.4g} floating-point operations, more than the budget's {budget.flops:.4g} flops"

    def plain(self) -> dict[str, Any]:
        """For the study's folder."""
        return {"flops_per_step": self.step}


@dataclass(frozen=True)
class Time:
    """What steps, looks and checkpoints of a condition cost, in seconds, with so many threads."""

    recipe: Recipe
    pace: Throughput
    threads: int

    def seconds(self, steps: int) -> float:
        """Of training so long, without what its beginning costs once (imports, compiling): the same for any budget."""
        return replace(self.pace, start=0.0).finish(self.recipe, steps)["seconds"]

    def within(self, budget: Budget) -> int:
        """How many steps, with their looks and checkpoints, fit the budget."""
        seconds = budget.seconds or 0.0
        return bisect_right(range(1, int(seconds / self.pace.step) + 2), seconds, key=self.seconds)

    def too_dear(self, budget: Budget) -> str:
        """Why none does."""
        took = f"one step with its looks and checkpoints takes {self.seconds(1):.3g} s"
        return f"{took}, more than the budget's {budget.seconds:g} seconds"

    def plain(self) -> dict[str, Any]:
        """For the study's folder."""
        pace = self.pace
        return {
            "step_seconds": pace.step, "look_seconds": pace.look, "task_look_seconds": pace.task_look,
            "checkpoint_seconds": pace.save, "threads": self.threads,
        }  # fmt: skip


def subjects_of(
    recipes: Mapping[str, Recipe], way: ExecutionOptions, reading: Callable[[int, int], None] | None = None
) -> dict[str, Workload]:  # fmt: skip
    """Every condition that trains, ready to be measured. FindnaError, by condition, for what cannot be."""
    subjects: dict[str, Workload] = {}
    wrong: list[str] = []
    for name, recipe in recipes.items():
        try:
            if recipe.steps:
                subjects[name] = ready(recipe, way.device, reading)
        except FindnaError as error:
            wrong += [f"the condition {name}:", *str(error).splitlines()]
    if wrong:
        raise FindnaError("\n".join(wrong))
    return subjects


def paces(
    subjects: Mapping[str, Workload], way: ExecutionOptions, rounds: int, steps: int, say: Callable[[str], None]
) -> dict[str, Throughput]:  # fmt: skip
    """Each condition measured so often, in turns and every other time backwards, so that what disturbs the machine for a while
    disturbs all; with as many threads as a cell will have. Raises NotFinite.
    """
    taken: dict[str, list[Throughput]] = {name: [] for name in subjects}
    for number in range(rounds):
        for name in list(subjects)[:: 1 if number % 2 == 0 else -1]:
            say(f"{name}: measuring {steps} steps" + (f", round {number + 1} of {rounds}" if rounds > 1 else ""))
            with _threads(cell_threads(way, subjects[name].recipe)):
                try:
                    taken[name].append(measure(subjects[name], steps))
                except NotFinite as error:
                    raise NotFinite(f"the condition {name}: {error}") from error
    return {name: joined(each) for name, each in taken.items()}


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _counted(recipes: Mapping[str, Recipe], way: ExecutionOptions, say: Callable[[str], None]) -> dict[str, Operations]:
    say("flops: counting the operations of a step of every condition")
    costs = dict[str, Operations]()
    for name, subject in subjects_of({name: _alone(recipe) for name, recipe in recipes.items()}, way).items():
        flops = flops_of(replace(subject, micro_batch=_passed_at_once(recipes[name], subject.micro_batch)))
        if flops["uncounted"]:
            say(f"{name}: {UNCOUNTED}: {', '.join(flops['uncounted'])}")
        if not flops["step"]:
            raise FindnaError(f"the condition {name}:\nnothing that its step computes is counted; take seconds, or steps")
        costs[name] = Operations(flops["step"])
    return costs


def _alone(recipe: Recipe) -> Recipe:
    """For one process, which takes the whole global batch: what all of its processes compute together."""
    return recipe.model_copy(update={"trainer": recipe.trainer.model_copy(update={"devices": 1, "nodes": 1})})


def _passed_at_once(recipe: Recipe, micro_batch: int) -> int:
    """Rows in one pass of all processes: whether a batch-coupled loss needs a second pass follows from it."""
    processes = recipe.trainer.devices * recipe.trainer.nodes
    return processes * min(micro_batch, recipe.data.batch_size // processes)


def _timed(recipes: Mapping[str, Recipe], way: ExecutionOptions, say: Callable[[str], None]) -> dict[str, Time]:
    say("seconds: measuring every condition on this machine; what comes out is kept, and never measured again")
    measured = paces(subjects_of(recipes, way), way, ROUNDS, MEASURED, say)
    return {name: Time(recipes[name], pace, cell_threads(way, recipes[name])) for name, pace in measured.items()}

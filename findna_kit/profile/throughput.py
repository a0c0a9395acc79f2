"""Measured duration of steps, validations and checkpoints, and the training time that follows for a run."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypedDict

import torch

from findna_kit.metrics.writers import MetricsWriter
from findna_kit.runs.online_probe import online_probes
from findna_kit.schedules import Clock
from findna_kit.trainer.compilation import compiled_encoders
from findna_kit.trainer.optimizers import ScheduledOptimizer
from findna_kit.trainer.state import write_checkpoint
from findna_kit.trainer.step import train_step
from findna_kit.trainer.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from findna_kit.profile.workload import Workload
    from findna_kit.recipe import Recipe

WARM_UP = 2
"""Steps that are not measured: the first ones include work that happens once."""


class ThroughputReport(TypedDict):
    """Durations for JSON. steps: number of measured steps; step_seconds: median, lowest and highest."""

    steps: int
    step_seconds: dict[str, float]
    steps_per_second: float
    bases_per_second: float
    look_seconds: float
    task_look_seconds: float | None
    checkpoint_seconds: float
    start_seconds: float


@dataclass(frozen=True)
class Throughput:
    """Measured durations in seconds.

    steps: of every measured step. look: of one validation. save: of one checkpoint. task_look: of one online probe, None if the
    run has none. start: of the one-time work at the start of a run, beyond its steps and validations.
    """

    steps: tuple[float, ...]
    look: float
    save: float
    task_look: float | None
    start: float

    @property
    def step(self) -> float:
        """Return the median duration of a step."""
        return median(self.steps)

    def finish(self, recipe: Recipe, steps: int) -> dict[str, float]:
        """Predict the seconds of training for a run of `steps` steps, the `training_seconds` of its run.json.

        Validations and checkpoints happen before the first step, at their intervals, and after the last step.
        """
        trainer, every = recipe.trainer, recipe.evaluation.every
        validations, saves = (1 + math.ceil(steps / every_) for every_ in (trainer.validate_every, trainer.checkpoint_every))
        probes = 0 if every is None or self.task_look is None else 1 + math.ceil(steps / every)
        seconds = (
            self.start + steps * self.step + validations * self.look + saves * self.save + probes * (self.task_look or 0.0)
        )
        return {"steps": steps, "looks": validations, "task_looks": probes, "checkpoints": saves, "seconds": seconds}

    def plain(self, bases: int) -> ThroughputReport:
        """Return the numbers for JSON; bases: nucleotides drawn from the genome in a step."""
        spread = {"median": self.step, "lowest": min(self.steps), "highest": max(self.steps)}
        return {
            "steps": len(self.steps), "step_seconds": spread, "steps_per_second": 1 / self.step,
            "bases_per_second": bases / self.step, "look_seconds": self.look, "task_look_seconds": self.task_look,
            "checkpoint_seconds": self.save, "start_seconds": self.start,
        }  # fmt: skip


def combine(measurements: Sequence[Throughput]) -> Throughput:
    """Combine several measurements of one recipe: all steps, and the medians of the other durations."""
    probes = [one.task_look for one in measurements if one.task_look is not None]
    return Throughput(
        tuple(step for one in measurements for step in one.steps), median(one.look for one in measurements),
        median(one.save for one in measurements), median(probes) if probes else None, median(one.start for one in measurements),
    )  # fmt: skip


def measure(workload: Workload, steps: int) -> Throughput:
    """Run the validation and the warm-up steps that a run starts with, then `steps` more, and save one checkpoint.

    The checkpoint goes to a temporary folder. Raises NotFinite; FindnaError.
    """
    experiment, engine = workload.experiment(), workload.engine
    windows, micro_batch = workload.genome.windows, workload.micro_batch
    optimizer, validation = ScheduledOptimizer(experiment), Validation(experiment, windows, engine, micro_batch)
    first = Clock(0, experiment.steps)
    timed = partial(_seconds, workload)

    def step(number: int) -> None:
        # More steps may be measured than the recipe has; schedules are only defined within it.
        clock = Clock(number % experiment.steps, experiment.steps)
        train_step(experiment, windows, engine, optimizer, clock, {}, micro_batch)

    probe = online_probes(workload.recipe, experiment, engine)
    with compiled_encoders(experiment), TemporaryDirectory(prefix="findna-kit-plan-") as folder:
        # Opening the writer imports TensorBoard, which a run pays for once.
        opening = timed(lambda: MetricsWriter(Path(folder), -1).close())
        first_validation = timed(partial(validation.run, first))
        warm_up = sum(timed(partial(step, number)) for number in range(WARM_UP))
        measured = tuple(timed(partial(step, WARM_UP + number)) for number in range(steps))
        validation_seconds = timed(partial(validation.run, first))
        # At step 0, where `evaluation.every` always asks for scores.
        probe_seconds = None if workload.recipe.evaluation.every is None else timed(partial(probe, 0))
        save = timed(lambda: write_checkpoint(Path(folder), 0, experiment, optimizer, {}))
    # The first validation and the warm-up steps are slower than later ones; the difference is the cost of starting.
    start = opening + first_validation - validation_seconds + warm_up - WARM_UP * median(measured)
    # Durations vary, so that the difference may come out below zero.
    return Throughput(measured, validation_seconds, save, probe_seconds, max(0.0, start))


def _seconds(workload: Workload, work: Callable[[], object]) -> float:
    """Return the wall-clock seconds of `work`, including what the GPU still has to do."""
    started = time.perf_counter()
    work()
    if workload.engine.device.type == "cuda":
        torch.cuda.synchronize(workload.engine.device)
    return time.perf_counter() - started

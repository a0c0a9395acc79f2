"""How long steps, looks and saves take here, and what follows for a run of any number of steps."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from findna_kit.metrics.writers import MetricsWriter
from findna_kit.runs.online_probe import online_probe_of
from findna_kit.schedules import Clock
from findna_kit.trainer.compilation import compiled_encoders
from findna_kit.trainer.optimizers import ScheduledAdamW
from findna_kit.trainer.state import write_checkpoint
from findna_kit.trainer.step import train_step
from findna_kit.trainer.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from findna_kit.profile.workload import Workload
    from findna_kit.recipe import Recipe

WARM_UP = 2
"""Steps that are not counted as such: the first ones pay for what is made once."""


@dataclass(frozen=True)
class Throughput:
    """Seconds. steps: each one measured; task_look: None where the run takes none; start: what its beginning costs once, on
    top of its steps and looks.
    """

    steps: tuple[float, ...]
    look: float
    save: float
    task_look: float | None
    start: float

    @property
    def step(self) -> float:
        """The median."""
        return median(self.steps)

    def finish(self, recipe: Recipe, steps: int) -> dict[str, float]:
        """What a run of the recipe does, so many steps long, and how many seconds it trains: `training_seconds` in run.json.

        A look and a checkpoint before the first step, one every so many steps, and one after the last.
        """
        trainer, every = recipe.trainer, recipe.evaluation.every
        looks, saves = (1 + math.ceil(steps / apart) for apart in (trainer.validate_every, trainer.checkpoint_every))
        online_probe_of = 0 if every is None or self.task_look is None else 1 + math.ceil(steps / every)
        seconds = (
            self.start + steps * self.step + looks * self.look + saves * self.save + online_probe_of * (self.task_look or 0.0)
        )
        return {"steps": steps, "looks": looks, "task_looks": online_probe_of, "checkpoints": saves, "seconds": seconds}

    def plain(self, bases: int) -> dict[str, Any]:
        """Ready for JSON; bases: drawn from the genome in a step."""
        spread = {"median": self.step, "lowest": min(self.steps), "highest": max(self.steps)}
        return {
            "steps": len(self.steps), "step_seconds": spread, "steps_per_second": 1 / self.step,
            "bases_per_second": bases / self.step, "look_seconds": self.look, "task_look_seconds": self.task_look,
            "checkpoint_seconds": self.save, "start_seconds": self.start,
        }  # fmt: skip


def joined(paces: Sequence[Throughput]) -> Throughput:
    """Of several measurements of one recipe: all steps, and medians of the rest."""
    online_probe_of = [one.task_look for one in paces if one.task_look is not None]
    return Throughput(
        tuple(step for one in paces for step in one.steps), median(one.look for one in paces),
        median(one.save for one in paces), median(online_probe_of) if online_probe_of else None, median(one.start for one in paces),
    )  # fmt: skip


def measure(subject: Workload, steps: int) -> Throughput:
    """Takes the looks and steps that a run begins with, and `steps` more; one save into a folder of the system's for such.

    Raises NotFinite; FindnaError.
    """
    experiment, engine = subject.experiment(), subject.engine
    windows, micro_batch = subject.genome.windows, subject.micro_batch
    optimizer, validation = ScheduledAdamW(experiment), Validation(experiment, windows, engine, micro_batch)
    beginning = Clock(0, experiment.steps)
    timed = partial(_seconds, subject)

    def step(number: int) -> None:
        clock = Clock(number % experiment.steps, experiment.steps)
        train_step(experiment, windows, engine, optimizer, clock, {}, micro_batch)

    look_at_tasks = online_probe_of(subject.recipe, experiment, engine)
    with compiled_encoders(experiment), TemporaryDirectory(prefix="findna-kit-plan-") as folder:
        began = timed(lambda: MetricsWriter(Path(folder), -1).close())
        first_look = timed(partial(validation.run, beginning))
        warming = sum(timed(partial(step, number)) for number in range(WARM_UP))
        taken = tuple(timed(partial(step, WARM_UP + number)) for number in range(steps))
        look = timed(partial(validation.run, beginning))
        task_look = None if subject.recipe.evaluation.every is None else timed(partial(look_at_tasks, 0))
        saved = timed(lambda: write_checkpoint(Path(folder), 0, experiment, optimizer, {}))
    start = began + first_look - look + warming - WARM_UP * median(taken)
    return Throughput(taken, look, saved, task_look, max(0.0, start))


def _seconds(subject: Workload, work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    if subject.engine.device.type == "cuda":
        torch.cuda.synchronize(subject.engine.device)
    return time.perf_counter() - began

"""What a run would cost: parameters and memory by counting, time by taking a few of its steps; nothing is kept."""

from __future__ import annotations

import math
import resource
import sys
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from findna_kit.assemble import assemble
from findna_kit.engine import launched, start_engine
from findna_kit.errors import FindnaError
from findna_kit.runs.genome_data import open_genome
from findna_kit.runs.initial import take_initial_weights
from findna_kit.runs.start import resolve_engine, resolved_settings
from findna_kit.schedules import Clock
from findna_kit.trainer.compiling import compiled_encoders
from findna_kit.trainer.optimizer import ScheduledAdamW
from findna_kit.trainer.step import train_step
from findna_kit.trainer.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

    from findna_kit.engine import Engine
    from findna_kit.recipe import Recipe
    from findna_kit.runs.genome_data import GenomeData
    from findna_kit.trainer import Experiment

WARM_UP = 2
"""Steps that are not counted: the first ones pay for what is made once."""


def plan(
    recipe: Recipe,
    *,
    device: str = "auto",
    steps: int = 5,
    say: Callable[[str], None] = lambda sentence: None,
    reading: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Counts and, where there is anything to train, takes WARM_UP and `steps` real steps and throws them away.

    The result, bytes and seconds: `parameters`, `memory`, and of what is measured `resolved`, `measured` and `finish`, or else
    `nothing_to_train`, which says why. Raises FindnaError where `run` would; NotFinite.
    """
    if recipe.trainer.devices * recipe.trainer.nodes > 1 or launched() is not None:
        raise FindnaError("plan measures one process: leave trainer.devices and trainer.nodes at 1")
    experiment = assemble(recipe)
    engine = start_engine(device, recipe.trainer.precision)
    for remark in take_initial_weights(experiment, recipe):
        say(remark)
    counted = {"name": recipe.name, "parameters": _parameters(experiment)}
    memory = _memory(experiment)
    if recipe.steps == 0:  # a recipe without a loss has none, either
        return {**counted, "memory": memory, "nothing_to_train": "steps is 0"}
    data = open_genome(recipe, reading)
    experiment.on_genome(data.contigs)
    engine, micro_batch = resolve_engine(experiment, data, engine, {})
    say(f"{recipe.name}: taking {WARM_UP} steps to warm up and {steps} to measure, and looking at the held-out windows")
    measured = _measure(experiment, data, engine, micro_batch, steps)
    return {
        **counted, "memory": {**memory, **_peak(engine)}, "resolved": resolved_settings(engine, micro_batch),
        "measured": measured, "finish": _finish(experiment, measured),
    }  # fmt: skip


def _parameters(experiment: Experiment) -> dict[str, int]:
    """Of the student: encoder with the pooling of class embeddings, heads with predictors, both; of the teacher: everything."""
    student = experiment.student
    pooling = () if student.class_pool is None else student.class_pool.parameters()
    return {
        "encoder": _count([*student.encoder.parameters(), *pooling]),
        "heads": _count([*student.heads.parameters(), *experiment.predictors.parameters()]),
        "trained": _count(experiment.trainable().values()),
        "teacher": _count(experiment.teacher.parameters()),
    }


def _memory(experiment: Experiment) -> dict[str, int]:
    """What training holds between steps, and the gradients; activations are not counted but measured."""
    trained = _bytes(experiment.trainable().values())
    return {
        "weights": _bytes([*experiment.model_tensors().values(), *experiment.loss_tensors().values()]),
        "optimizer": 2 * trained,  # AdamW's two moments
        "gradients": trained,
    }


def _measure(experiment: Experiment, data: GenomeData, engine: Engine, micro_batch: int, steps: int) -> dict[str, Any]:
    """Seconds of each step and of one look, and what follows from their median."""
    experiment.to(engine.device)
    experiment.student.train()
    experiment.teacher.eval()
    if engine.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(engine.device)
    optimizer = ScheduledAdamW(experiment)
    validation = Validation(experiment, data.windows, engine, micro_batch)

    def step(number: int) -> None:
        clock = Clock(number % experiment.steps, experiment.steps)
        train_step(experiment, data.windows, engine, optimizer, clock, {}, micro_batch)

    with compiled_encoders(experiment):
        validation.look(Clock(0, experiment.steps))  # as a run does at step 0; it warms up, too
        taken = [_seconds(engine, partial(step, number)) for number in range(WARM_UP + steps)][WARM_UP:]
        looked = _seconds(engine, partial(validation.look, Clock(0, experiment.steps)))
    seconds = median(taken)
    return {
        "steps": steps,
        "step_seconds": {"median": seconds, "lowest": min(taken), "highest": max(taken)},
        "steps_per_second": 1 / seconds,
        "bases_per_second": experiment.batch_size * experiment.length / seconds,
        "look_seconds": looked,
    }


def _finish(experiment: Experiment, measured: dict[str, Any]) -> dict[str, float]:
    """Of the whole run: a look before the first step, one every `validate_every` steps, and one after the last."""
    looks = 1 + math.ceil(experiment.steps / experiment.trainer.validate_every)
    seconds = experiment.steps * measured["step_seconds"]["median"] + looks * measured["look_seconds"]
    return {"steps": experiment.steps, "looks": looks, "seconds": seconds}


def _peak(engine: Engine) -> dict[str, Any]:
    """The most that was held: by tensors on the GPU, or by this whole process, torch and pages of the genome included."""
    if engine.device.type == "cuda":
        return {"peak": torch.cuda.max_memory_allocated(engine.device), "peak_is": "of tensors on the GPU"}
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return {"peak": held * unit, "peak_is": "of the whole process, its high-water mark"}


def _seconds(engine: Engine, work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    if engine.device.type == "cuda":
        torch.cuda.synchronize(engine.device)
    return time.perf_counter() - began


def _count(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

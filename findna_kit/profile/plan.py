"""What a run would cost: parameters and memory by counting, time by taking a few of its steps; nothing is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from findna_kit.assemble import assemble
from findna_kit.distributed import peak_memory, start_engine
from findna_kit.profile.flops import count_flops
from findna_kit.profile.max_batch import largest_batch
from findna_kit.profile.throughput import WARM_UP, measure
from findna_kit.profile.workload import ready, refuse_processes
from findna_kit.runs.init_weights import take_initial_weights
from findna_kit.runs.start import resolved_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

    from findna_kit.distributed import Engine
    from findna_kit.profile.workload import Workload
    from findna_kit.recipe import Recipe
    from findna_kit.trainer import Experiment


def plan(
    recipe: Recipe,
    *,
    device: str = "auto",
    steps: int = 5,
    say: Callable[[str], None] = lambda sentence: None,
    reading: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Counts and, where there is anything to train, takes WARM_UP and `steps` real steps and throws them away.

    The result, bytes and seconds: `parameters`, `memory`, and of what is measured `resolved`, `measured`, `flops`,
    `largest_batch` and `finish`, or else `nothing_to_train`, which says why. Raises FindnaError where `run` would; NotFinite.
    """
    refuse_processes(recipe)
    experiment = assemble(recipe)
    start_engine(device, recipe.trainer.precision)  # what is not there is refused before anything is read
    for remark in take_initial_weights(experiment, recipe):
        say(remark)
    counted = {"name": recipe.name, "parameters": parameters_of(experiment)}
    memory = memory_of(experiment)
    if recipe.steps == 0:  # a recipe without a loss has none, either
        return {**counted, "memory": memory, "nothing_to_train": "steps is 0"}
    del experiment  # on the way to the largest batch its memory is wanted
    subject = ready(recipe, device, reading)
    say(f"{recipe.name}: taking {WARM_UP} steps to warm up and {steps} to measure, and looking at the held-out windows")
    _forget_peak(subject.engine)
    pace = measure(subject, steps)
    peak = peak_memory(subject.engine.device)  # before anything else holds more
    finish = pace.finish(recipe, recipe.steps)
    return {
        **counted, "memory": {**memory, "peak": peak["bytes"], "peak_is": peak["of"]},
        "resolved": resolved_settings(subject.engine, subject.micro_batch).to_json(),
        "measured": pace.plain(subject.bases), "flops": flops_of(subject), "largest_batch": largest_batch(subject),
        "finish": {**finish, **hours(subject.engine, finish["seconds"])},
    }  # fmt: skip


def flops_of(subject: Workload) -> dict[str, Any]:
    """Floating-point operations of a step and of a base, ready for JSON."""
    return count_flops(subject.experiment(), subject.genome.windows, subject.engine, subject.micro_batch).plain(subject.bases)


def hours(engine: Engine, seconds: float) -> dict[str, Any]:
    """What the seconds cost: hours of the GPU or, on a CPU, of as many cores as there are threads."""
    if engine.device.type == "cuda":
        return {"hours": seconds / 3600, "hours_of": "GPU"}
    return {"hours": torch.get_num_threads() * seconds / 3600, "hours_of": "core"}


def parameters_of(experiment: Experiment) -> dict[str, int]:
    """Of the student: encoder with the pooling of class embeddings, heads with predictors, both; of the teacher: everything."""
    student = experiment.student
    pooling = () if student.class_pool is None else student.class_pool.parameters()
    return {
        "encoder": _count([*student.encoder.parameters(), *pooling]),
        "heads": _count([*student.heads.parameters(), *experiment.predictors.parameters()]),
        "trained": _count(experiment.trainable().values()),
        "teacher": _count(experiment.teacher.parameters()),
    }


def memory_of(experiment: Experiment) -> dict[str, int]:
    """What training holds between steps, and the gradients; activations are not counted but measured."""
    trained = _bytes(experiment.trainable().values())
    return {
        "weights": _bytes([*experiment.model_tensors().values(), *experiment.loss_tensors().values()]),
        "optimizer": 2 * trained,  # AdamW's two moments
        "gradients": trained,
    }


def _forget_peak(engine: Engine) -> None:
    if engine.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(engine.device)


def _count(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

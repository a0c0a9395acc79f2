"""`findna-kit plan`: parameters and memory of a run by counting, its duration by running a few steps; nothing is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from findna_kit.assemble import assemble
from findna_kit.distributed import peak_memory, start_engine
from findna_kit.profile.flops import count_flops
from findna_kit.profile.max_batch import largest_batch
from findna_kit.profile.throughput import WARM_UP, measure
from findna_kit.profile.workload import check_single_process, prepare_workload
from findna_kit.runs.init_weights import take_initial_weights
from findna_kit.runs.provenance import resolved_settings
from findna_kit.trainer.optimizers import state_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

    from findna_kit.distributed import Engine
    from findna_kit.profile.flops import FlopsReport
    from findna_kit.profile.workload import Workload
    from findna_kit.recipe import Recipe
    from findna_kit.trainer import Experiment


def plan(
    recipe: Recipe,
    *,
    device: str = "auto",
    steps: int = 5,
    log: Callable[[str], None] = lambda line: None,
    reading: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Return what a run of `recipe` would cost, in bytes and seconds.

    Always `parameters` and `memory`. Then WARM_UP and `steps` real steps are run and discarded, which gives `resolved`,
    `measured`, `flops`, `largest_batch` and `finish`; for a recipe without steps there is the reason, `nothing_to_train`.
    log, reading: callbacks for progress. Raises FindnaError where `run` would; NotFinite.
    """
    check_single_process(recipe)
    experiment = assemble(recipe)
    start_engine(device, recipe.trainer.precision)  # a missing device is an error before the genome is read
    for remark in take_initial_weights(experiment, recipe):
        log(remark)
    counted = {"name": recipe.name, "parameters": parameters_of(experiment)}
    memory = memory_of(experiment)
    if recipe.steps == 0:  # so is it for a recipe without losses
        return {**counted, "memory": memory, "nothing_to_train": "steps is 0"}
    del experiment  # measuring the maximum batch size needs its memory
    workload = prepare_workload(recipe, device, reading)
    log(f"{recipe.name}: running {WARM_UP} warm-up steps, {steps} measured steps and the validation")
    # The peak so far includes loading, which the steps do not repeat.
    _reset_peak_memory(workload.engine)
    throughput = measure(workload, steps)
    peak = peak_memory(workload.engine.device)  # before the search for the maximum batch size uses more
    finish = throughput.finish(recipe, recipe.steps)
    return {
        **counted, "memory": {**memory, "peak": peak["bytes"], "peak_is": peak["of"]},
        "resolved": resolved_settings(workload.engine, workload.micro_batch).to_json(),
        "measured": throughput.plain(workload.bases), "flops": flops_of(workload), "largest_batch": largest_batch(workload),
        "finish": {**finish, **hours(workload.engine, finish["seconds"])},
    }  # fmt: skip


def flops_of(workload: Workload) -> FlopsReport:
    """Return the FLOPs of a step and of a base, for JSON."""
    return count_flops(workload.experiment(), workload.genome.windows, workload.engine, workload.micro_batch).plain(
        workload.bases
    )


def hours(engine: Engine, seconds: float) -> dict[str, float | str]:
    """Convert seconds to GPU hours or, on a CPU, to core hours (one core per thread)."""
    if engine.device.type == "cuda":
        return {"hours": seconds / 3600, "hours_of": "GPU"}
    return {"hours": torch.get_num_threads() * seconds / 3600, "hours_of": "core"}


def parameters_of(experiment: Experiment) -> dict[str, int]:
    """Count parameters: the student's encoder with class pooling, its heads with predictors, both; and the teacher."""
    student = experiment.student
    pooling = () if student.class_pool is None else student.class_pool.parameters()
    return {
        "encoder": _count([*student.encoder.parameters(), *pooling]),
        "heads": _count([*student.heads.parameters(), *experiment.predictors.parameters()]),
        "trained": _count(experiment.trainable().values()),
        "teacher": _count(experiment.teacher.parameters()),
    }


def memory_of(experiment: Experiment) -> dict[str, int]:
    """Return the bytes of weights, optimizer state and gradients; activations are measured, not counted."""
    trained = _bytes(experiment.trainable().values())
    return {
        "weights": _bytes([*experiment.model_tensors().values(), *experiment.loss_tensors().values()]),
        "optimizer": state_bytes(experiment),
        "gradients": trained,
    }


def _reset_peak_memory(engine: Engine) -> None:
    """Start a new measurement of the peak memory of a GPU."""
    if engine.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(engine.device)


def _count(tensors: Iterable[Tensor]) -> int:
    """Return the number of elements."""
    return sum(tensor.numel() for tensor in tensors)


def _bytes(tensors: Iterable[Tensor]) -> int:
    """Return the number of bytes."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

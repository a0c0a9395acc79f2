"""The choice of the micro-batch size where the recipe says auto."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.distributed import halve_until_fits
from findna_kit.schedules import Clock
from findna_kit.trainer.forward import training_batch
from findna_kit.trainer.step import accumulate_gradients

if TYPE_CHECKING:
    from findna_kit.data.sources import Data
    from findna_kit.distributed import Engine
    from findna_kit.trainer.experiment import Experiment

CPU_BYTES = 10 * 2**20
"""Limit of one layer's activations in a pass on a CPU, so that they stay in its cache."""


def choose_micro_batch(experiment: Experiment, data: Data, engine: Engine) -> int:
    """Return the micro-batch size of this process, from the recipe or, for auto, from the device.

    On a CPU the activations of one layer stay near the cache size, since larger ones are mapped and page-faulted anew in every
    pass. On a GPU it is this process's share of the batch, or the largest half, quarter, ... of it that fits into memory, with
    crops of the largest length.
    """
    share = len(engine.local_indices(experiment.batch_size))
    if experiment.trainer.micro_batch != "auto":
        return min(experiment.trainer.micro_batch, share)
    if not experiment.losses:  # nothing is computed
        return share
    if engine.device.type == "cpu":
        sample_bytes = 4 * experiment.student.encoder.dim * (experiment.length + experiment.student.class_tokens)  # fp32
        return max(1, min(share, CPU_BYTES // sample_bytes))
    experiment.to(engine.device)

    # A whole forward and backward pass: its peak is what must fit. The gradients are thrown away.
    def attempt(micro_batch: int) -> None:
        batch = training_batch(experiment, data, 0, engine.local_indices(experiment.batch_size), longest=True)
        accumulate_gradients(experiment, data, engine, Clock(0, experiment.steps), batch, micro_batch)
        experiment.student.zero_grad(set_to_none=True)
        experiment.predictors.zero_grad(set_to_none=True)

    return halve_until_fits(share, attempt)

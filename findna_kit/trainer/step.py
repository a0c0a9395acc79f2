"""One optimizer step: forward, backward, optimizer, teacher update, `after_step` of each loss; in this order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from findna_kit.errors import NotFinite
from findna_kit.metrics.names import loss_metric
from findna_kit.trainer.forward import Batch, Forward, Outputs, dropout_seed, slices, training_batch
from findna_kit.trainer.gradient_cache import GradientCache
from findna_kit.trainer.loss_sums import EPS, LossSums

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from findna_kit.data.sources import Data
    from findna_kit.distributed import Engine
    from findna_kit.schedules import Clock
    from findna_kit.trainer.experiment import Experiment
    from findna_kit.trainer.optimizers import ScheduledOptimizer


def train_step(
    experiment: Experiment,
    data: Data,
    engine: Engine,
    optimizer: ScheduledOptimizer,
    clock: Clock,
    latest: Mapping[str, float],
    micro_batch: int,
) -> dict[str, float]:
    """Take one step and return the metrics to log.

    latest: metrics of earlier steps and validations, which the teacher update receives with those of this step. Raises
    NotFinite, before anything is applied, if a loss or the gradient's norm is not finite.
    """
    rows = engine.local_indices(experiment.batch_size)
    batch = training_batch(experiment, data, clock.step, rows)
    optimizer.zero_grad()
    for norm_layer in experiment.norms:
        norm_layer.before_step()
    sums, counts = accumulate_gradients(experiment, data, engine, clock, batch, micro_batch)
    for parameter in experiment.frozen_parameters(clock):
        parameter.grad = None  # in every process: the all-reduce keeps None, and the optimizer skips the parameter
    parameters = optimizer.parameters
    engine.all_reduce_gradients(parameters)
    gradients = [p.grad for p in parameters if p.grad is not None]
    # After the all-reduce: the norm of the summed gradient is the same in every process, so all of them clip alike.
    gradient_norm = get_total_norm(gradients)
    metrics = _metrics(experiment, engine, clock, sums, counts, gradient_norm)

    # From here on state changes, in the order that the design states.
    if experiment.clip_norm is not None:
        clip_grads_with_norm_(parameters, experiment.clip_norm, gradient_norm)
    metrics |= optimizer.step(clock)
    metrics |= _update_teacher(experiment, clock, {**latest, **metrics})
    for label, weighted in experiment.losses.items():
        state_inputs = sums.state_inputs(label)
        if weighted.loss.coupling == "sample":  # a batch-coupled loss already saw the global batch
            state_inputs = {name: engine.gather(value) for name, value in state_inputs.items()}
        weighted.loss.after_step(state_inputs, clock)
    for norm_layer in experiment.norms:
        norm_layer.after_step()
    return metrics


def _update_teacher(experiment: Experiment, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
    """Apply the teacher update, except to the batch statistics of the teacher's heads; return the metrics to log."""
    # The rule may copy or average buffers, but statistics of averaged weights are not the average of the student's.
    own = [norm.statistics() for norm in experiment.teacher_norms]
    logged = experiment.teacher_update(experiment.teacher, experiment.student, clock, metrics)
    for norm, statistics in zip(experiment.teacher_norms, own, strict=True):
        norm.restore(*statistics)
    return logged


def accumulate_gradients(
    experiment: Experiment, data: Data, engine: Engine, clock: Clock, batch: Batch, micro_batch: int
) -> tuple[LossSums, dict[str, Tensor]]:
    """Add this process's gradient of the weighted objective to the parameters; return sums and global item counts.

    Batch-coupled losses take two passes over the micro-batches (see GradientCache), other losses one.
    """
    forward = Forward(experiment, engine)
    sample, coupled = forward.labels("sample"), forward.labels("batch")
    parts = slices(len(engine.local_indices(experiment.batch_size)), micro_batch)
    # Known before the first backward, so that each micro-batch can be divided by the count of the whole batch.
    counts = {label: engine.all_reduce_sum(count) for label, count in forward.counts(batch, sample).items()}
    sums = LossSums()

    def run_student(index: int, labels: list[str]) -> Outputs:
        return forward.run_branch("student", batch.rows(parts[index]), labels, dropout=(clock, index))

    every = [*coupled, *sample]
    single = run_student(0, every) if len(parts) == 1 else None  # one micro-batch needs no second pass
    cache: GradientCache | None = None
    if coupled:
        cache = GradientCache(forward, clock)
        for index, part in enumerate(parts):
            with torch.no_grad():
                cache.add(single or run_student(index, coupled), forward.run_branch("teacher", batch.rows(part), coupled))
        counts |= cache.backward(_global_batch(experiment, data, engine, clock, batch), sums)

    for index, part in enumerate(parts):
        student = single or run_student(index, every)
        with torch.no_grad():
            # Of the sample losses only: the cache already holds what batch-coupled losses read of the teacher.
            teacher = forward.run_branch("teacher", batch.rows(part), sample)
        total = _sample_losses(forward, student, teacher, clock, index, counts, sums)
        tensors, gradients = cache.inputs_with_gradients(student, part) if cache else ([], [])
        if total is not None:
            tensors, gradients = [total, *tensors], [None, *gradients]
        torch.autograd.backward(tensors, gradients)  # one call, so that the encoder's graph is traversed once
    return sums, counts


def _sample_losses(
    forward: Forward, student: Outputs, teacher: Outputs, clock: Clock, index: int, counts: Mapping[str, Tensor], sums: LossSums
) -> Tensor | None:  # fmt: skip
    """Return the weighted sum of the sample losses on micro-batch `index`, or None if there are none."""
    total: Tensor | None = None
    for label in forward.labels("sample"):
        # A seed for each loss: with one for all, the dropout masks of their heads would be the same.
        with dropout_seed(forward.experiment, forward.engine, clock, f"heads {index} of {label}"):
            output = forward.loss_output(label, student, teacher, clock)
        sums.add(label, output)
        share = forward.experiment.losses[label].weight(clock) / counts[label].clamp(min=EPS) * output.sum
        total = share if total is None else total + share
    return total


def _global_batch(experiment: Experiment, data: Data, engine: Engine, clock: Clock, batch: Batch) -> Batch:
    """Return the views of all processes' samples. They are made anew: views are cheap, and functions of step and sample."""
    if engine.world_size == 1:
        return batch
    rows = torch.arange(experiment.batch_size, device=engine.device)
    return training_batch(experiment, data, clock.step, rows)


def _metrics(
    experiment: Experiment, engine: Engine, clock: Clock, sums: LossSums, counts: Mapping[str, Tensor], gradient_norm: Tensor
) -> dict[str, float]:
    """Return every loss and metric over the global batch, read from the device at once. Raises NotFinite."""
    names, values = [], []
    for label, weighted in experiment.losses.items():
        reduce = engine.all_reduce_sum if weighted.loss.coupling == "sample" else None
        for name, value in sums.metrics(label, weighted.loss, counts[label], reduce).items():
            names.append(loss_metric(label, name))
            values.append(value)
    *numbers, norm = torch.stack([*values, gradient_norm]).tolist()  # the step's only wait for the device
    metrics = dict(zip(names, numbers, strict=True))
    losses = {label: metrics[loss_metric(label, "loss")] for label in experiment.losses}
    metrics["loss"] = sum(weighted.weight(clock) * losses[label] for label, weighted in experiment.losses.items())
    for label, value in losses.items():
        if not math.isfinite(value):
            raise NotFinite(f"step {clock.step + 1}: losses.{label} is {value}; nothing of this step was applied")
    if not math.isfinite(norm):
        raise NotFinite(f"step {clock.step + 1}: the gradient's norm is {norm}; nothing of this step was applied")
    return {**metrics, "gradient_norm": norm}

"""The state of training: what a checkpoint holds, and how it is saved and loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit import checkpoint
from findna_kit.errors import CheckpointMismatch, RunStopped
from findna_kit.trainer.optimizers import ScheduledOptimizer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from findna_kit.distributed import Engine
    from findna_kit.metrics.writers import MetricsWriter
    from findna_kit.trainer.experiment import Experiment

VALIDATION_STEP = "validation_step"
"""Metric key under which teacher updates receive the step of the latest validation."""
_VALIDATION_STEP_0_1 = "look"
"""The same key in checkpoints of version 0.1."""


class TrainingState:
    """The step, every tensor that training changes, and the latest value of each metric."""

    def __init__(self, experiment: Experiment, engine: Engine, run: Path) -> None:
        self.experiment, self.engine, self.run, self.step = experiment, engine, run, 0
        self.optimizer = ScheduledOptimizer(experiment)
        self.latest: dict[str, float] = {}

    def save(self, writer: MetricsWriter | None) -> None:
        """Write a checkpoint in the main process, which has the writer, and remove old ones.

        Raises RunStopped in every process if their tensors are not the same.
        """
        model, state = self.experiment.model_tensors(), _state_tensors(self.experiment, self.optimizer)
        # A cheap check against silent divergence: gradients are summed, but nothing else keeps the replicas equal.
        if not self.engine.replicas_agree([*model.values(), *state.values()]):
            raise RunStopped(
                f"step {self.step}: the processes hold different networks or losses, which must never happen; this step is not "
                "saved: look for a component that computes different results on different machines"
            )
        if writer is None:
            return
        writer.sync()  # first, so that no checkpoint is newer than the metrics
        write_checkpoint(self.run, self.step, self.experiment, self.optimizer, self.latest)
        checkpoint.prune(self.run, self.experiment.trainer.keep_last)

    def load(self) -> None:
        """Load the newest checkpoint. Raises CheckpointMismatch, with nothing loaded, if it does not fit."""
        step = checkpoint.steps_saved(self.run)[-1]
        path = checkpoint.path_of(self.run, step)
        model, state, values = checkpoint.load(self.run, step)
        # The teacher update checks its own state; all other tensors have a live tensor to be copied into.
        rule = checkpoint.strip_prefix("teacher_update", state)
        rest = {name: tensor for name, tensor in state.items() if not name.startswith("teacher_update.")}
        targets = {
            **self.experiment.model_tensors(),
            **self.optimizer.empty(values["moved"]),
            **self.experiment.loss_tensors(),
        }
        # Both parts are checked before either is loaded: the tensors here, the teacher update's state by the update itself.
        checkpoint.check_fit(f"{path}: the checkpoint", targets, {**model, **rest})
        try:
            self.experiment.teacher_update.load_state_dict(rule)
        except (KeyError, ValueError) as error:
            raise CheckpointMismatch(f"{path}: the teacher update's state does not fit: {error}") from error
        checkpoint.fill(f"{path}: the checkpoint", targets, {**model, **rest})
        self.step = step
        # Restored too, because a teacher update may read the metrics of the last validation in the first resumed step.
        self.latest = {VALIDATION_STEP if name == _VALIDATION_STEP_0_1 else name: v for name, v in values["latest"].items()}


def write_checkpoint(
    run: Path, step: int, experiment: Experiment, optimizer: ScheduledOptimizer, latest: Mapping[str, float]
) -> None:  # fmt: skip
    """Write every tensor that training changes, and the latest metrics."""
    state = _state_tensors(experiment, optimizer)
    checkpoint.save(run, step, experiment.model_tensors(), state, {"latest": latest, "moved": optimizer.moved})


def _state_tensors(experiment: Experiment, optimizer: ScheduledOptimizer) -> dict[str, Tensor]:
    """Return the tensors of the optimizer, the losses and the teacher update."""
    rule = checkpoint.add_prefix("teacher_update", experiment.teacher_update.state_dict())
    return {**optimizer.tensors(), **experiment.loss_tensors(), **rule}

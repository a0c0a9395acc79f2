"""An experiment: the networks, losses, views and settings of one recipe, ready to be trained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from findna_kit import checkpoint
from findna_kit.components.heads import BatchNorm, batch_norms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import Tensor, nn

    from findna_kit.components.interfaces import Contig, Loss, TeacherUpdate
    from findna_kit.components.optimizer import Optimizer
    from findna_kit.data.view_pipeline import ViewPipeline
    from findna_kit.model.branch import Branch
    from findna_kit.schedules import Schedule
    from findna_kit.settings import TrainerSettings


@dataclass(frozen=True)
class WeightedLoss:
    """One loss of the objective, and its weight as a function of the step."""

    loss: Loss
    weight: Schedule


@dataclass(frozen=True)
class Experiment:
    """The components of a recipe, built. `predictors` are the student's own heads, by the label of their loss."""

    seed: int
    steps: int
    length: int
    batch_size: int
    pipelines: tuple[ViewPipeline, ...]
    student: Branch
    teacher: Branch
    predictors: nn.ModuleDict
    losses: Mapping[str, WeightedLoss]
    teacher_update: TeacherUpdate
    optimizer: Optimizer
    clip_norm: float | None
    trainer: TrainerSettings

    @cached_property
    def norms(self) -> list[BatchNorm]:
        """Return the batch normalisations of the student's heads; their running statistics move once per step."""
        # The teacher is always in evaluation mode, in which a BatchNorm records nothing; its buffers follow the teacher update.
        return batch_norms([self.student.heads, self.predictors])

    def on_genome(self, contigs: Sequence[Contig]) -> None:
        """Pass the contigs of the views to every augmentation and masking."""
        for pipeline in self.pipelines:
            pipeline.on_genome(contigs)

    def to(self, device: torch.device) -> None:
        """Move every module to the device."""
        for module in (self.student, self.teacher, self.predictors, *(weighted.loss for weighted in self.losses.values())):
            module.to(device)

    def model_tensors(self) -> dict[str, Tensor]:
        """Return the live tensors of branches and heads, by their names in a checkpoint."""
        return {
            **checkpoint.add_prefix("student", self.student.state_dict()),
            **checkpoint.add_prefix("teacher", self.teacher.state_dict()),
            **checkpoint.add_prefix("heads", self.predictors.state_dict()),
        }

    # Live tensors, not copies: a checkpoint is loaded by copying into them.
    def loss_tensors(self) -> dict[str, Tensor]:
        """Return the live tensors of the losses' state, by their names in a checkpoint."""
        states = {label: weighted.loss.state_dict() for label, weighted in self.losses.items()}
        return {f"losses.{label}.{name}": tensor for label, state in states.items() for name, tensor in state.items()}

    def trainable(self) -> dict[str, nn.Parameter]:
        """Return the parameters that the optimizer updates, by name."""
        # The teacher is never trained by gradient; frozen parameters of the student are left out.
        named = [*self.student.named_parameters("student"), *self.predictors.named_parameters("heads")]
        return {name: parameter for name, parameter in named if parameter.requires_grad}

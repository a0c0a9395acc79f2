"""What is trained, and on what."""

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
    """One term of the objective."""

    loss: Loss
    weight: Schedule


@dataclass(frozen=True)
class Experiment:
    """The parts of a recipe, built. `predictors` are the student's own heads, by the label of their loss."""

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
        """Those of the student's heads, whose statistics move after the step."""
        return batch_norms([self.student.heads, self.predictors])

    def on_genome(self, contigs: Sequence[Contig]) -> None:
        """Tells every augmentation and masking what the views' contigs are."""
        for pipeline in self.pipelines:
            pipeline.on_genome(contigs)

    def to(self, device: torch.device) -> None:
        """Moves every module."""
        for module in (self.student, self.teacher, self.predictors, *(term.loss for term in self.losses.values())):
            module.to(device)

    def model_tensors(self) -> dict[str, Tensor]:
        """Live tensors of the branches and heads, by the names that a checkpoint uses."""
        return {
            **checkpoint.prefixed("student", self.student.state_dict()),
            **checkpoint.prefixed("teacher", self.teacher.state_dict()),
            **checkpoint.prefixed("heads", self.predictors.state_dict()),
        }

    def loss_tensors(self) -> dict[str, Tensor]:
        """Live tensors of the losses' state."""
        named = {label: term.loss.state_dict() for label, term in self.losses.items()}
        return {f"losses.{label}.{name}": tensor for label, state in named.items() for name, tensor in state.items()}

    def trainable(self) -> dict[str, nn.Parameter]:
        """What the optimizer moves, by name."""
        named = [*self.student.named_parameters("student"), *self.predictors.named_parameters("heads")]
        return {name: parameter for name, parameter in named if parameter.requires_grad}

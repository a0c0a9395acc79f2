"""An experiment: the networks, losses, views and settings of one recipe, ready to be trained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

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
    from findna_kit.schedules import Clock, Schedule
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
        """Return the batch normalisations whose running statistics move once per step: the student's and `teacher_norms`."""
        return [*batch_norms([self.student.heads, self.predictors]), *self.teacher_norms]

    @cached_property
    def teacher_norms(self) -> list[BatchNorm]:
        """Return the batch normalisations of the teacher that use the statistics of the batch: in heads that losses read.

        A target that is normalised otherwise than the prediction moves when the running statistics do (BYOL and DINO keep the
        teacher's batch normalisation in training mode). A frozen teacher is a fixed function, and has none of them.
        """
        if self.teacher_update.frozen:
            return []
        # A teacher of another architecture may lack the heads of a loss without twin heads.
        labels = [
            label for label, weighted in self.losses.items() if weighted.loss.needs_teacher and label in self.teacher.heads
        ]
        return batch_norms([self.teacher.heads[label] for label in labels])

    def frozen_parameters(self, clock: Clock) -> list[nn.Parameter]:
        """Return the parameters of heads that their losses do not train at this step."""
        return [
            parameter
            for label, weighted in self.losses.items()
            for head in weighted.loss.frozen_heads(clock)
            for owner in (self.student.heads, self.predictors)
            if head in (chain := cast("nn.ModuleDict", owner[label]))
            for parameter in chain[head].parameters()
        ]

    def train(self) -> None:
        """Put the student and `teacher_norms` into training mode; the rest of the teacher never has dropout."""
        self.student.train()
        self.predictors.train()
        self.teacher.eval()
        for norm in self.teacher_norms:
            norm.train()

    def eval(self) -> None:
        """Put both branches and the heads into evaluation mode: no dropout, and running statistics."""
        for module in (self.student, self.predictors, self.teacher):
            module.eval()

    def on_genome(self, contigs: Sequence[Contig]) -> None:
        """Pass the contigs of the views to every augmentation and masking. Raises FindnaError for a crop that does not fit."""
        for pipeline in self.pipelines:
            pipeline.on_genome(contigs)
            pipeline.check_crop(self.length)

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

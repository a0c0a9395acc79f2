"""Agreement of pooled projections between views: half of BYOL's loss, `1 - cos` (Grill et al. 2020, equation 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit.components import BranchOutput, Clock, ComponentConfig, Loss, LossOutput, View, ViewPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class PooledAgreement(Loss):
    """`1 - cos(predictor(projector(student)), projector(teacher))`, summed over pairs of different views (Grill 2020)."""

    class Config(ComponentConfig):
        """Sizes of the heads."""

        hidden: int = Field(256, gt=0, description="width of the projector and of the predictor")
        output: int = Field(64, gt=0, description="width of the projections")

    examples = ({"hidden": 16, "output": 8},)
    head_input = "pooled"
    needs_teacher = True

    def twin_heads(self) -> dict[str, nn.Module]:
        """Return the projector; the recipe's teacher update moves the teacher's copy."""
        return {"projector": _head(self.dim, self.config.hidden, self.config.output)}

    def student_heads(self) -> dict[str, nn.Module]:
        """Return the predictor, which only the student has; without it both branches collapse to a constant."""
        return {"predictor": _head(self.config.output, self.config.hidden, self.config.output)}

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Require a view of the student and a different view of the teacher."""
        if _pairs([view.name for view in views if view.student], [view.name for view in views if view.teacher]):
            return None
        return "needs a view that the teacher sees and a different one that the student sees"

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Return the number of pairs of views times the number of sequences."""
        tokens = next(iter(teacher.values())).tokens
        return torch.tensor(float(len(_pairs(student, teacher)) * len(tokens)), device=tokens.device)

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the loss of the head outputs `predictor` and `projector`, both [B, output]."""
        predictions = {name: output.heads["predictor"].float() for name, output in student.items()}
        targets = {name: output.heads["projector"].float().detach() for name, output in teacher.items()}
        cosines = [F.cosine_similarity(predictions[s], targets[t], dim=-1) for s, t in _pairs(student, teacher)]
        return LossOutput((1 - torch.stack(cosines)).sum())


def _head(dim: int, hidden: int, output: int) -> nn.Module:
    # LayerNorm instead of BYOL's batch norm, which couples the samples of a batch and is not needed (Richemond et al. 2020).
    return nn.Sequential(nn.Linear(dim, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, output))


def _pairs(student: Iterable[str], teacher: Iterable[str]) -> list[tuple[str, str]]:
    """Return every view of the student paired with every other view of the teacher."""
    names = list(teacher)
    return [(s, t) for s in student for t in names if s != t]

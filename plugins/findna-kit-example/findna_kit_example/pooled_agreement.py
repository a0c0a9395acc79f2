"""Agreement of pooled projections between views: BYOL's loss (Grill et al. 2020, equation 2), halved: `1 - cos`."""

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
    """`1 - cos(predictor(projector(student)), projector(teacher))`, over pairs of a student's and another, teacher's view."""

    class Config(ComponentConfig):
        """Sizes of the heads."""

        hidden: int = Field(256, gt=0, description="width of the projector and of the predictor")
        output: int = Field(64, gt=0, description="width of the projections")

    examples = ({"hidden": 16, "output": 8},)
    head_input = "pooled"
    needs_teacher = True

    def twin_heads(self) -> dict[str, nn.Module]:
        """The projector; the teacher's copy follows it by the recipe's rule."""
        return {"projector": _head(self.dim, self.config.hidden, self.config.output)}

    def student_heads(self) -> dict[str, nn.Module]:
        """The predictor, which only the student has: without it both branches would meet at a constant."""
        return {"predictor": _head(self.config.output, self.config.hidden, self.config.output)}

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """A view of the teacher's beside another one of the student's."""
        if _pairs([view.name for view in views if view.student], [view.name for view in views if view.teacher]):
            return None
        return "needs a view that the teacher sees and a different one that the student sees"

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Pairs of views, times sequences."""
        tokens = next(iter(teacher.values())).tokens
        return torch.tensor(float(len(_pairs(student, teacher)) * len(tokens)), device=tokens.device)

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Over heads' `predictor` and `projector`, both [B, output]."""
        guesses = {name: output.heads["predictor"].float() for name, output in student.items()}
        targets = {name: output.heads["projector"].float().detach() for name, output in teacher.items()}
        cosines = [F.cosine_similarity(guesses[s], targets[t], dim=-1) for s, t in _pairs(student, teacher)]
        return LossOutput((1 - torch.stack(cosines)).sum())


def _head(dim: int, hidden: int, output: int) -> nn.Module:
    # LayerNorm for BYOL's batch norm, whose statistics tie the sequences of a batch (Richemond et al. 2020: none are needed).
    return nn.Sequential(nn.Linear(dim, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, output))


def _pairs(student: Iterable[str], teacher: Iterable[str]) -> list[tuple[str, str]]:
    names = list(teacher)
    return [(s, t) for s in student for t in names if s != t]

"""Distillation of how sequences relate: similarities of the student's embeddings against the teacher's, of any two widths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from findna_kit.components import BranchOutput, Clock, ComponentConfig, Loss, LossOutput, View, ViewPlan
from findna_kit_objectives.rows import rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


class Relational(Loss):
    """The student's pooled embeddings are to lie to each other as the teacher's do; no head, and no common width.

    similarity (Tung and Mori 2019, "Similarity-preserving knowledge distillation", section 3): `|G_S - G_T|_F^2`, G the
        Gram matrix `X X^T` of the batch with its rows l2-normalised; over b^2 pairs of sequences.
    distance (Park et al. 2019, "Relational knowledge distillation", RKD-D): Huber's loss of the Euclidean distances, each
        divided by its branch's mean over the pairs; over b (b - 1) pairs.

    Couples the batch. Summed over pairs of a view of the student's and one of the teacher's, which may be the same. A teacher
    that learns from the student would meet it in a constant: meant for one that is given, or beside another loss.
    """

    class Config(ComponentConfig):
        """What is compared."""

        relation: Literal["similarity", "distance"] = Field("similarity", description="Tung and Mori's, or Park et al.'s")

    head_input = "pooled"
    coupling = "batch"
    needs_teacher = True
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({}, {"relation": "distance"})
    config: Config

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """A view for each branch."""
        if any(view.student for view in views) and any(view.teacher for view in views):
            return None
        return "needs a view that the student sees and one that the teacher sees; they may be the same"

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Ordered pairs of sequences, a sequence and itself among them for `similarity`, times pairs of views."""
        tokens = next(iter(student.values())).tokens
        others = len(tokens) - (self.config.relation == "distance")
        return torch.tensor(float(len(student) * len(teacher) * len(tokens) * others), device=tokens.device)

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Over `rows` [B, D] and [B, D']. Metric: the teacher's mean cosine over the same pairs, 1 where it has collapsed."""
        shown = [rows_of(output).detach() for output in teacher.values()]
        targets = [self._relations(x) for x in shown]
        total = [self._apart(self._relations(rows_of(output)), target) for output in student.values() for target in targets]
        cosine = torch.stack([self._pairs(_cosines(x)).sum() for x in shown]).sum() * len(student)
        return LossOutput(torch.stack(total).sum(), {"teacher_cosine": cosine})

    def _relations(self, x: Tensor) -> Tensor:
        if self.config.relation == "similarity":
            return F.normalize(x @ x.T, dim=-1)
        apart = self._pairs(torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist"))
        return apart / apart.mean().clamp(min=1e-12)

    def _apart(self, ours: Tensor, theirs: Tensor) -> Tensor:
        if self.config.relation == "similarity":
            return (ours - theirs).square().sum()
        return F.huber_loss(ours, theirs, reduction="sum")

    def _pairs(self, square: Tensor) -> Tensor:
        """Of [b, b] what `relation` is over: all, or all but the diagonal."""
        if self.config.relation == "similarity":
            return square
        return square.flatten()[1:].view(len(square) - 1, -1)[:, :-1] if len(square) > 1 else square[:0]


def _cosines(x: Tensor) -> Tensor:
    unit = F.normalize(x, dim=-1)
    return unit @ unit.T

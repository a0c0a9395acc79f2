"""Distillation of the similarities between sequences, from a teacher of any width (Tung and Mori 2019; Park et al. 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from findna_kit.components import BranchOutput, Clock, ComponentConfig, Loss, LossOutput, View, ViewPlan
from findna_kit_objectives.head_input import input_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


class Relational(Loss):
    """Relational distillation: similarities or distances between pooled embeddings match the teacher's (Tung 2019, Park 2019).

    similarity (Tung and Mori 2019, "Similarity-preserving knowledge distillation", section 3): `|G_S - G_T|_F^2`, where G is
    the
        Gram matrix `X X^T` of the batch with l2-normalised rows; over b^2 pairs of sequences.
    distance (Park et al. 2019, "Relational knowledge distillation", RKD-D): the Huber loss of Euclidean distances, each divided
        by the mean distance of its branch; over b (b - 1) pairs.

    There is no head, and the two branches may have different widths. The loss couples the batch and is summed over pairs of a
    view of the student and one of the teacher, which may be the same. A teacher that follows the student could collapse with
    it: use a fixed teacher, or add another loss.
    """

    class Config(ComponentConfig):
        """Relation to compare."""

        relation: Literal["similarity", "distance"] = Field(
            "similarity", description="similarity: normalised Gram matrices (Tung and Mori); distance: distances (Park et al.)"
        )

    head_input = "pooled"
    coupling = "batch"
    needs_teacher = True
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({}, {"relation": "distance"})
    config: Config

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Require a view for each branch."""
        if any(view.student for view in views) and any(view.teacher for view in views):
            return None
        return "needs a view that the student sees and one that the teacher sees; they may be the same"

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Return the number of ordered pairs of sequences times pairs of views; `similarity` includes pairs of equals."""
        tokens = next(iter(student.values())).tokens
        others = len(tokens) - (self.config.relation == "distance")
        return torch.tensor(float(len(student) * len(teacher) * len(tokens) * others), device=tokens.device)

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the loss of pooled embeddings [B, D] and [B, D'].

        Metric: the teacher's mean cosine over the same pairs, 1 if the teacher has collapsed.
        """
        embeddings = [input_rows(output).detach() for output in teacher.values()]
        targets = [self._relations(x) for x in embeddings]
        total = [
            self._distance(self._relations(input_rows(output)), target) for output in student.values() for target in targets
        ]
        cosine = torch.stack([self._pairs(_cosines(x)).sum() for x in embeddings]).sum() * len(student)
        return LossOutput(torch.stack(total).sum(), {"teacher_cosine": cosine})

    def _relations(self, x: Tensor) -> Tensor:
        """Return the relations between the rows of `x` [b, D]."""
        if self.config.relation == "similarity":
            return F.normalize(x @ x.T, dim=-1)
        # Distances by matrix products lose their precision for embeddings that are close together.
        distances = self._pairs(torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist"))
        return distances / distances.mean().clamp(min=1e-12)

    def _distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        if self.config.relation == "similarity":
            return (student - teacher).square().sum()
        return F.huber_loss(student, teacher, reduction="sum")

    def _pairs(self, square: Tensor) -> Tensor:
        """Return the entries of [b, b] over which the relation is defined: all, or those off the diagonal."""
        if self.config.relation == "similarity":
            return square
        # Without the first entry, every b + 1 consecutive entries end with one of the diagonal.
        return square.flatten()[1:].view(len(square) - 1, -1)[:, :-1] if len(square) > 1 else square[:0]


def _cosines(x: Tensor) -> Tensor:
    unit = F.normalize(x, dim=-1)
    return unit @ unit.T

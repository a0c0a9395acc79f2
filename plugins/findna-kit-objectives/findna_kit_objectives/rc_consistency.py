"""Agreement of the two strands: what a sequence's embedding has in common with that of its reverse complement.

Embeddings where Ma (2025, "Reverse-Complement Consistency for DNA Language Models", arXiv 2509.18529) holds predictions
together in fine-tuning; Zhou, Shrikumar and Kundaje (2022) compare what makes an architecture do so by construction.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from findna_kit.components import BranchOutput, Clock, ComponentConfig, Loss, LossOutput, View, ViewPlan
from findna_kit_objectives.rows import rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


class RCConsistency(Loss):
    """`1 - cos(a, b)`, or the mean square of `a - b`, of a window's pooled embeddings on one strand and on the other.

    Pairs are of two views of the student's; a window counts where most bases of one view are of one strand, most of the other
    view of the other, so that a view with `{name: reverse_complement, probability: 1.0}` beside one without counts always, and
    two that draw their strand half the time. No heads: what agrees is what `embed` gives.

    Meant beside another loss: alone it is least where all embeddings are one.
    """

    class Config(ComponentConfig):
        """Distance, and who is pulled."""

        distance: Literal["cosine", "squared"] = Field("cosine", description="1 - cosine, or the mean squared difference")
        stop_gradient: bool = Field(
            False, description="each strand is pulled towards the other as it stands; the gradient is half as long"
        )

    head_input = "pooled"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({}, {"distance": "squared", "stop_gradient": True})
    config: Config

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Two views of the student's; whether their strands ever differ is for their augmentations to say."""
        if sum(view.student for view in views) > 1:
            return None
        return "needs two views that the student sees, one of them with reverse_complement"

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Windows shown on both strands, over pairs of views."""
        return torch.stack([_opposite(a, b).sum() for a, b in combinations(student.values(), 2)]).sum()

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Over `rows` [B, D]. Metric: the cosine."""
        total, cosines = [], []
        for one, other in combinations(student.values(), 2):
            weight, a, b = _opposite(one.view, other.view), rows_of(one), rows_of(other)
            total.append((self._distance(a, b) * weight).sum())
            cosines.append((F.cosine_similarity(a, b, dim=-1) * weight).sum().detach())
        return LossOutput(torch.stack(total).sum(), {"cosine": torch.stack(cosines).sum()})

    def _distance(self, a: Tensor, b: Tensor) -> Tensor:
        if self.config.stop_gradient:
            return (self._between(a, b.detach()) + self._between(a.detach(), b)) / 2
        return self._between(a, b)

    def _between(self, a: Tensor, b: Tensor) -> Tensor:
        if self.config.distance == "cosine":
            return 1 - F.cosine_similarity(a, b, dim=-1)
        return (a - b).square().mean(-1)


def _opposite(one: View, other: View) -> Tensor:
    """[B]: 1 where most bases of the two views are of different strands, else 0."""
    strands = [view.strand.sum(1, dtype=torch.int64).sign() for view in (one, other)]
    return (strands[0] * strands[1] < 0).float()

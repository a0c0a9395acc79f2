"""Agreement of the two strands: the embedding of a sequence approaches that of its reverse complement.

Ma (2025, "Reverse-Complement Consistency for DNA Language Models", arXiv 2509.18529) applies this to predictions in
fine-tuning; here it is applied to embeddings. Zhou, Shrikumar and Kundaje (2022) compare equivariant architectures instead.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from findna_kit.components import BranchOutput, Clock, ComponentConfig, Loss, LossOutput, View, ViewPlan
from findna_kit_objectives.head_input import input_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


class RCConsistency(Loss):
    """`1 - cos(a, b)`, or the mean square of `a - b`, of pooled embeddings of both strands (after Ma 2025).

    Pairs are two views of the student. A window counts if most bases of one view are on one strand and most bases of the other
    view on the other strand. So a view with `{name: reverse_complement, probability: 1.0}` and one without it always count, and
    two views with random strands count half of the time. There are no heads: the loss applies to the embeddings that `embed`
    returns.

    Add it to another loss: alone it is minimal when all embeddings are equal.
    """

    class Config(ComponentConfig):
        """Distance and direction of the gradient."""

        distance: Literal["cosine", "squared"] = Field("cosine", description="1 - cosine, or the mean squared difference")
        stop_gradient: bool = Field(
            False, description="move each strand towards the detached embedding of the other; halves the gradient"
        )

    head_input = "pooled"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({}, {"distance": "squared", "stop_gradient": True})
    config: Config

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Require two views that the student sees. Whether their strands differ depends on their augmentations."""
        if sum(view.student for view in views) > 1:
            return None
        return "needs two views that the student sees, one of them with reverse_complement"

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Return the number of windows whose strands differ, summed over pairs of views."""
        return torch.stack([_opposite(a, b).sum() for a, b in combinations(student.values(), 2)]).sum()

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the loss of the pooled embeddings [B, D]. Metric: the cosine."""
        total, cosines = [], []
        for first, second in combinations(student.values(), 2):
            weight, a, b = _opposite(first.view, second.view), input_rows(first), input_rows(second)
            total.append((self._distance(a, b) * weight).sum())
            cosines.append((F.cosine_similarity(a, b, dim=-1) * weight).sum().detach())
        return LossOutput(torch.stack(total).sum(), {"cosine": torch.stack(cosines).sum()})

    def _distance(self, a: Tensor, b: Tensor) -> Tensor:
        # Each strand moves towards the other one as a constant; the two halves give the same value as one distance.
        if self.config.stop_gradient:
            return (self._between(a, b.detach()) + self._between(a.detach(), b)) / 2
        return self._between(a, b)

    def _between(self, a: Tensor, b: Tensor) -> Tensor:
        if self.config.distance == "cosine":
            return 1 - F.cosine_similarity(a, b, dim=-1)
        return (a - b).square().mean(-1)


def _opposite(first: View, second: View) -> Tensor:
    """Return [B]: 1 where the majority strands of the two views differ, else 0."""
    # Strands are +1, -1, and 0 for padding and inserted bases. A view without a majority has the sign 0, and does not count.
    strands = [view.strand.sum(1, dtype=torch.int64).sign() for view in (first, second)]
    return (strands[0] * strands[1] < 0).float()

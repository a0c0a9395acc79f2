"""KoLeo: a regulariser that spreads embeddings by nearest-neighbour distances (Sablayrolles 2019, "Spreading vectors")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.nn import functional as F

from findna_kit.components import BranchOutput, Clock, ComponentConfig, Loss, LossOutput, View, ViewPlan
from findna_kit_objectives.head_input import input_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


_EPSILON = 1e-8
"""Added to a distance, so that the logarithm is finite when two embeddings are equal."""


class KoLeo(Loss):
    """KoLeo: `- log min_{j != i} |x_i - x_j|` of l2-normalised pooled embeddings x over the global batch (Sablayrolles 2019).

    This is Kozachenko and Leonenko's estimate of the entropy, without its constants, summed over sequences and views of the
    student. There is no head. Add it to another loss with a small weight (DINOv2, Oquab et al. 2023: 0.1). A batch of one
    sequence has no neighbours, and its count is 0.
    """

    class Config(ComponentConfig):
        """No parameters."""

    head_input = "pooled"
    coupling = "batch"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Require a view that the student sees."""
        return None if any(view.student for view in views) else "needs a view that the student sees"

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Return the number of sequences times views."""
        tokens = next(iter(student.values())).tokens
        has_neighbours = len(tokens) > 1
        return torch.tensor(float(has_neighbours * len(tokens) * len(student)), device=tokens.device)

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the loss of the pooled embeddings [B, D]. Metric: distance to the nearest, from 0 (collapse) to 2."""
        distances = torch.cat([_nearest(F.normalize(input_rows(output), dim=-1)) for output in student.values()])
        return LossOutput(-(distances + _EPSILON).log().sum(), {"nearest_distance": distances.detach().sum()})


def _nearest(x: Tensor) -> Tensor:
    """Return the distance from each row of `x` [B, D] to the nearest other one, [B]; empty if there is only one.

    The nearest row is found by cosines, in O(B^2) memory. Only its distance is then computed, because a distance derived from a
    cosine near 1 has no precision.
    """
    if len(x) < 2:
        return x.sum(-1)[:0]
    # The choice of the neighbour has no gradient; only the distance to it has.
    with torch.no_grad():
        cosines = (x @ x.T).fill_diagonal_(-torch.inf)
        nearest = cosines.argmax(1)
    distances: Tensor = torch.linalg.vector_norm(x - x[nearest], dim=-1)
    return distances

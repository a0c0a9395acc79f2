"""KoLeo: embeddings kept apart by the distance to the nearest (Sablayrolles et al. 2019, "Spreading vectors")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.nn import functional as F

from findna_kit.components import BranchOutput, Clock, ComponentConfig, Loss, LossOutput, View, ViewPlan
from findna_kit_objectives.rows import rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


_EPSILON = 1e-8
"""Added to a distance, so that the logarithm of one between equals is finite."""


class KoLeo(Loss):
    """`- log min_{j != i} |x_i - x_j|`, x the l2-normalised pooled embeddings of one view over the global batch.

    Kozachenko and Leonenko's estimate of the entropy, without its constants. Summed over sequences and the student's views; no
    head. Meant beside another loss, with a small weight (DINOv2, Oquab et al. 2023: 0.1). A batch of one has no neighbours,
    and gives nothing.
    """

    class Config(ComponentConfig):
        """Nothing to choose."""

    head_input = "pooled"
    coupling = "batch"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """A view of the student's."""
        return None if any(view.student for view in views) else "needs a view that the student sees"

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Sequences, times views."""
        tokens = next(iter(student.values())).tokens
        neighbours = len(tokens) > 1
        return torch.tensor(float(neighbours * len(tokens) * len(student)), device=tokens.device)

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Over `rows` [B, D]. Metric: the distance to the nearest, between 0 (collapse) and 2."""
        distances = torch.cat([_nearest(F.normalize(rows_of(output), dim=-1)) for output in student.values()])
        return LossOutput(-(distances + _EPSILON).log().sum(), {"nearest_distance": distances.detach().sum()})


def _nearest(x: Tensor) -> Tensor:
    """The distance from each of [B, D] to the nearest of the others: [B], or none where it is alone.

    Which one that is comes from the cosines, in O(B^2) room; the distance itself is taken of that pair alone.
    """
    if len(x) < 2:
        return x.sum(-1)[:0]
    with torch.no_grad():
        cosines = (x @ x.T).fill_diagonal_(-torch.inf)
        nearest = cosines.argmax(1)
    distances: Tensor = torch.linalg.vector_norm(x - x[nearest], dim=-1)
    return distances

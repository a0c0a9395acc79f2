"""Base class of losses that compare pooled projections of the student's views over the whole batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from findna_kit.components import Loss, Projector, View, ViewPlan
from findna_kit_objectives import pairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn


class BetweenViews(Loss):
    """A sum over pairs of the student's views. The Config has `layers`, `hidden`, `output` and `norm` of a projector."""

    head_input = "pooled"
    coupling = "batch"
    both_ways: ClassVar[bool] = False
    """Whether a pair counts twice, once in each direction."""
    config: Any

    def twin_heads(self) -> dict[str, nn.Module]:
        """Return the projector of the pooled embedding."""
        config = self.config
        return {"projector": Projector(self.dim, config.hidden, config.output, config.layers, norm=config.norm)}

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Require two views that the student sees."""
        return pairs.student_problem(views)

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Return the number of pairs of views times the number of sequences, though each pair has one term per batch."""
        ordered = len(pairs.ordered(student))
        return pairs.items(student, ordered if self.both_ways else ordered // 2)

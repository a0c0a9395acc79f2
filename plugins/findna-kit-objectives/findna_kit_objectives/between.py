"""Losses of the pooled projections of the student's views, over whole batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from findna_kit.components import Loss, Projector, View, ViewPlan
from findna_kit_objectives import pairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn


class BetweenViews(Loss):
    """A sum over pairs of the student's views; its parameters state a projector by `layers`, `hidden`, `output` and `norm`."""

    head_input = "pooled"
    coupling = "batch"
    both_ways: ClassVar[bool] = False
    """Whether a pair counts once from each of its views."""
    config: Any

    def twin_heads(self) -> dict[str, nn.Module]:
        """A projector of the pooled embedding."""
        config = self.config
        return {"projector": Projector(self.dim, config.hidden, config.output, config.layers, norm=config.norm)}

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Two views of the student's."""
        return pairs.alone(views)

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Pairs of views, times sequences: one term over the batch counts for each of its sequences."""
        both = len(pairs.ordered(student))
        return pairs.items(student, both if self.both_ways else both // 2)

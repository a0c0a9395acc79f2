"""Barlow Twins (Zbontar et al. 2021, equations 1 and 2): the cross-correlation matrix of two views approaches the identity."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from findna_kit.components import BranchOutput, Clock, ComponentConfig, LossOutput
from findna_kit_objectives.between import BetweenViews

if TYPE_CHECKING:
    from collections.abc import Mapping


_EPSILON = 1e-8
"""Added to the variance of a feature. It is far above rounding; the authors' batch normalisation adds 1e-5."""


class BarlowTwins(BetweenViews):
    """Barlow Twins: `sum_i (1 - C_ii)^2 + redundancy sum_(i != j) C_ij^2` (Zbontar 2021).

    C is the correlation, over the batch, of the features of two projections. Each pair of the student's views counts once. The
    first sum is the paper's invariance term, the second its redundancy reduction; a weight of 0 removes a term. Features are
    centred over the global batch; a constant feature has correlation 0.
    """

    class Config(ComponentConfig):
        """Weights of the two terms, and the head."""

        invariance: float = Field(1.0, ge=0, description="weight of the diagonal term; always 1 in the paper")
        redundancy: float = Field(0.005, ge=0, description="weight of the off-diagonal term; lambda in the paper")
        layers: int = Field(3, ge=1, description="linear layers of the projector")
        hidden: int = Field(256, gt=0, description="width of the projector")
        output: int = Field(
            256, gt=1, description="width of the projections; in the paper, results improve up to 8192 and more"
        )
        norm: Literal["batch", "none"] = Field("batch", description="normalisation of the projector's hidden layers")

    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"hidden": 12, "output": 6},
        {"hidden": 12, "output": 6, "norm": "none"},
    )
    config: Config

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the loss of the head output `projector` [B, output].

        Metrics: `diagonal`, the mean of C_ii, is 1 if the views agree. `off_diagonal`, the root mean square of the other
        entries, is 0 if features are uncorrelated, and 1 if all features are the same: a collapse onto one dimension.
        """
        columns = [_columns(output.heads["projector"].float()) for output in student.values()]
        losses, diagonals, rests = [], [], []
        for first, second in combinations(columns, 2):
            correlation = first.T @ second
            diagonal = correlation.diagonal()
            rest = (correlation - diagonal.diag()).square().sum()
            losses.append(self.config.invariance * (1 - diagonal).square().sum() + self.config.redundancy * rest)
            diagonals.append(diagonal.detach().mean())
            rests.append((rest.detach() / (len(correlation) * (len(correlation) - 1))).sqrt())
        metrics = {"diagonal": torch.stack(diagonals).sum(), "off_diagonal": torch.stack(rests).sum()}
        # One term for the whole batch; the trainer divides by a count of B per pair.
        rows = len(columns[0])
        return LossOutput(rows * torch.stack(losses).sum(), {name: rows * value for name, value in metrics.items()})


def _columns(z: Tensor) -> Tensor:
    """Return features [B, d] centred over the batch and scaled to length 1, so that dot products are correlations."""
    centred = z - z.mean(0)
    # The mean of equal numbers differs from them by rounding. Without epsilon this remainder would be scaled to length 1 too.
    return centred * torch.rsqrt(centred.square().sum(0) + len(z) * _EPSILON)

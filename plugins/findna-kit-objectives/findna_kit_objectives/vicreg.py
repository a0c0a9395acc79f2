"""VICReg (Bardes et al. 2022, equations 1 to 6, Algorithm 1): variance, invariance and covariance regularisation."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from findna_kit.components import BranchOutput, Clock, ComponentConfig, LossOutput, feature_statistics
from findna_kit_objectives.between import BetweenViews

if TYPE_CHECKING:
    from collections.abc import Mapping


class VICReg(BetweenViews):
    """VICReg: `invariance s(Z, Z') + variance (v(Z) + v(Z')) + covariance (c(Z) + c(Z'))` (Bardes 2022).

    Each pair of the student's views counts once. s is the mean squared difference, averaged over features as in Algorithm 1
    (equation 5 as printed sums over them, with which the paper's weights would not balance). v is the mean over features of
    `max(0, target - sqrt(Var + epsilon))`. c is the sum of the squared off-diagonal covariances, divided by the number of
    features. Statistics are those of the global batch.
    """

    class Config(ComponentConfig):
        """Weights of the three terms, and sizes of the head."""

        invariance: float = Field(25.0, ge=0, description="weight of the agreement between views")
        variance: float = Field(25.0, ge=0, description="weight of the hinge that keeps features from becoming constant")
        covariance: float = Field(1.0, ge=0, description="weight of the decorrelation of features")
        target: float = Field(1.0, gt=0, description="standard deviation below which the hinge applies")
        epsilon: float = Field(1e-4, gt=0, description="added to the variance before the square root")
        layers: int = Field(3, ge=1, description="linear layers of the projector (expander in the paper)")
        hidden: int = Field(256, gt=0, description="width of the projector")
        output: int = Field(256, gt=1, description="width of the projections; 8192 in the paper")
        norm: Literal["batch", "none"] = Field("batch", description="normalisation of the projector's hidden layers")

    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"hidden": 12, "output": 6},
        {"hidden": 12, "output": 6, "norm": "none"},
    )
    config: Config

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the loss of the head output `projector` [B, output].

        Metrics: the three terms without their weights, for both views together; `deviation`, the mean standard deviation of the
        features: 0 at collapse, `target` or more where the hinge is 0.
        """
        config = self.config
        # Every term is a mean over the batch. The trainer divides by a count of B for each pair, so the sum is multiplied by B.
        parts = torch.stack([
            torch.stack([F.mse_loss(first, second), *(self._statistics(first) + self._statistics(second))])
            for first, second in combinations([output.heads["projector"].float() for output in student.values()], 2)
        ]).sum(0) * len(next(iter(student.values())).heads["projector"])  # fmt: skip
        invariance, variance, covariance, deviations = parts
        total = config.invariance * invariance + config.variance * variance + config.covariance * covariance
        named = {"invariance": invariance, "variance": variance, "covariance": covariance, "deviation": deviations / 2}
        return LossOutput(total, {name: value.detach() for name, value in named.items()})

    def _statistics(self, z: Tensor) -> Tensor:
        """Return v(Z), c(Z) and the mean standard deviation of one view's projections [B, d], as a tensor [3]."""
        return torch.stack(feature_statistics(z, target=self.config.target, epsilon=self.config.epsilon))

"""LeJEPA (Balestriero and LeCun 2025, arXiv 2511.08544): agreement of views, and projections that follow a Gaussian."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from findna_kit.builtin.losses.global_views import GlobalViewsConfig, GlobalViewsLoss

if TYPE_CHECKING:
    from torch import Tensor


class SIGReg(GlobalViewsLoss):
    """LeJEPA: `(1 - a) MSE(z, mean of the global views' z) + a SIGReg(z)` of the projections z of each view (Balestriero 2025).

    SIGReg is the mean, over views and random unit directions u, of the Epps-Pulley statistic of the n numbers `x_j = u . z_j`
    of the batch: `n * integral |1/n sum_j exp(i t x_j) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt`. The integral is twice that over
    `points` equidistant t in [0, `end`], by the trapezoid rule. There is no teacher and no stop-gradient. With `reads: class`,
    each class token is compared and regularised by itself.

    The defaults are those of GenoJEPA (Wang et al. 2026), which are also those of the LeJEPA authors' short example, except
    for the head. LeJEPA's released loss, as lightly ships it, uses 1024 directions; Algorithm 1 of the paper, as others quote
    it, integrates over [-5, 5] with 17 points; the authors' head has three layers, 2048 wide, and 16 to 128 outputs. GenoJEPA's
    head, as here, has two layers, 384 -> 768 -> 16. Both normalise the head's hidden layer over all views of the batch
    together; here each view is normalised by itself, as in every loss of this kit.
    """

    class Config(GlobalViewsConfig):
        """Share of the regulariser, and its integral."""

        regularization: float = Field(
            0.05, ge=0, le=1, description="share of the regulariser in the loss; lambda in LeJEPA, alpha in GenoJEPA"
        )
        points: int = Field(17, ge=2, description="number of points of the integral")
        end: float = Field(3.0, gt=0, description="largest t of the integral")

    examples = (
        {"hidden": 12, "output": 6, "slices": 16},
        {"hidden": 12, "output": 6, "slices": 16, "reads": "class", "layers": 3, "points": 5, "regularization": 0.5},
    )
    config: Config

    @property
    def share(self) -> float:
        """Return the share of the regulariser in the loss."""
        return self.config.regularization

    def regularize(self, z: Tensor, directions: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return SIGReg of z [V, C, B, output].

        Metric: `sigreg`, that value. Its expectation for a sample of a standard Gaussian is 1.05 with the default integral, for
        every batch size; if all projections are 0, it is 0.40 times the batch size.
        """
        t = torch.linspace(0, self.config.end, self.config.points, device=z.device)
        gaussian = torch.exp(-t.square() / 2)
        angles = (z @ directions)[..., None] * t
        distance = (angles.cos().mean(2) - gaussian).square() + angles.sin().mean(2).square()
        # The integrand is even in t, so the half over negative t is equal.
        integral = 2 * torch.trapezoid(distance * gaussian, dx=self.config.end / (self.config.points - 1))
        statistic = z.shape[2] * integral.mean()
        return statistic, {"sigreg": statistic}

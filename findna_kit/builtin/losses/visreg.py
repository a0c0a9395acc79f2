"""VISReg (Wu, Balestriero and Levine 2026, arXiv 2606.02572): agreement of views, and separate terms for scale and shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from findna_kit.builtin.losses.global_views import GlobalViewsConfig, GlobalViewsLoss

if TYPE_CHECKING:
    from torch import Tensor

_SMALLEST = 1e-6
"""Smallest standard deviation that divides."""


class VISReg(GlobalViewsLoss):
    """VISReg: `(1 - a) MSE(z, mean of the global views' z) + a (scale + shape + center)` of the projections z (Wu 2026).

    Each term is a mean over views. With mean m_k and standard deviation s_k of feature k over the n samples of the batch:
    `scale = mean_k (1 - s_k)^2` and `center = mean_k m_k^2`. shape is the squared sliced Wasserstein distance of the normalised
    projections `(z - m) / s` to a standard Gaussian: the mean over random unit directions and over i of `(x_(i) - q_i)^2`,
    where x_(i) is the i-th smallest projection on the direction, and q_i the Gaussian's quantile at i / (n + 1). No gradient
    flows through the s that divides, so that shape leaves the scale alone.

    Near a collapse the gradient of `scale` stays constant, while that of SIGReg vanishes. The formulas are those of the
    authors' project page and released code, and of lightly's documentation, which numbers the paper's equations. The text of
    the paper was not read. lightly quotes a share of 0.9 and 4096 directions for ImageNet, and for small data sets a share of
    0.6, the default here. The head is that of `sigreg`.
    """

    class Config(GlobalViewsConfig):
        """Share of the regulariser, and the weights of its terms."""

        regularization: float = Field(0.6, ge=0, le=1, description="share of the regulariser in the loss; lambda in the paper")
        scale: float = Field(1.0, ge=0, description="weight of the standard deviations' distance to 1")
        shape: float = Field(1.0, ge=0, description="weight of the distance to a Gaussian after normalisation")
        center: float = Field(1.0, ge=0, description="weight of the squared mean")

    examples = (
        {"hidden": 12, "output": 6, "slices": 16},
        {"hidden": 12, "output": 6, "slices": 16, "reads": "class", "shape": 2.0},
    )
    config: Config

    @property
    def share(self) -> float:
        """Return the share of the regulariser in the loss."""
        return self.config.regularization

    def regularize(self, z: Tensor, directions: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the three terms of z [V, C, B, output]. Metrics: each term without its weight."""
        mean = z.mean(2, keepdim=True)
        deviation = z.std(2, correction=0, keepdim=True)
        normalised = (z - mean) / deviation.detach().clamp(min=_SMALLEST)
        ordered = (normalised @ directions).sort(2).values
        samples = z.shape[2]
        places = torch.arange(1, samples + 1, device=z.device) / (samples + 1)
        quantiles = torch.special.ndtri(places)[:, None]
        terms = {
            "scale": (1 - deviation).square().mean(),
            "shape": (ordered - quantiles).square().mean(),
            "center": mean.square().mean(),
        }
        weights = {"scale": self.config.scale, "shape": self.config.shape, "center": self.config.center}
        total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        return total, terms

"""The variance and covariance terms of VICReg (Bardes et al. 2022), which keep features from collapsing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor


class FeatureStatistics(NamedTuple):
    """Two terms of VICReg, and a signal of collapse; scalars.

    variance: equation 1, the mean over features of `max(0, target - sqrt(Var + epsilon))`. covariance: equation 4, the sum of
    the squared off-diagonal covariances, divided by the number of features. deviation: the mean of `sqrt(Var + epsilon)`.
    """

    variance: Tensor
    covariance: Tensor
    deviation: Tensor


def feature_statistics(z: Tensor, *, target: float, epsilon: float) -> FeatureStatistics:
    """Return the statistics of the features of z [..., n, d] over its n samples, averaged over leading dimensions.

    z must have all samples of the global batch: for losses with `coupling = "batch"`.
    """
    centred = z - z.mean(-2, keepdim=True)
    matrix = centred.mT @ centred / max(z.shape[-2] - 1, 1)  # a single sample has no variance
    variances = matrix.diagonal(dim1=-2, dim2=-1)
    deviations = (variances + epsilon).sqrt()
    rest = matrix - torch.diag_embed(variances)
    return FeatureStatistics(
        variance=(target - deviations).clamp(min=0).mean(),
        covariance=rest.square().sum((-2, -1)).mean() / z.shape[-1],
        deviation=deviations.mean(),
    )

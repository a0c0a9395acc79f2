"""Soft assignments of items to prototypes: balanced codes by Sinkhorn-Knopp, and the information in assignments."""

from __future__ import annotations

import math

import torch
from torch import Tensor


@torch.no_grad()
def sinkhorn(logits: Tensor, *, epsilon: float, iterations: int, weight: Tensor | None = None) -> Tensor:
    """Return codes [..., R, K], fp32: `Diag(u) exp(logits / epsilon) Diag(v)` in which every row sums to 1 (SwAV, equation 5).

    This is Sinkhorn-Knopp (Cuturi 2013), as SwAV (Caron et al. 2020) and DINOv2 (Oquab et al. 2023) use it with 3 iterations.
    logits [..., R, K]: R items, K prototypes; leading dimensions are balanced separately. Each iteration scales every prototype
    to the same total weight, and then every item to total 1. So rows always sum to 1, and prototypes are balanced in the limit.
    Without iterations the result is `softmax(logits / epsilon)`. Computed in logarithms, so that a small `epsilon` does not
    overflow.
    weight [..., R], not negative: how much each item counts. An item of weight 0 gets a code and does not influence the others.
    """
    log_codes = logits.float() / epsilon
    weight = torch.ones_like(log_codes[..., 0]) if weight is None else weight.float()
    # If all weights are 0 they become equal, which avoids 0 / 0.
    log_weight = (weight + (weight.sum(-1, keepdim=True) == 0)).log()
    for _ in range(iterations):
        # The weights enter the sums over items alone: an item of weight 0 adds exp(-inf) = 0 to them, and still gets a code.
        log_codes = log_codes - torch.logsumexp(log_codes + log_weight[..., None], -2, keepdim=True)
        log_codes = log_codes - torch.logsumexp(log_codes, -1, keepdim=True)
    return log_codes.softmax(-1)


def information_shares(marginal: Tensor, entropy: Tensor) -> dict[str, Tensor]:
    """Return metrics that show a collapse of assignments q of items to K prototypes, as shares of ln K.

    marginal [..., K]: the mean of q over the items. entropy: the mean entropy of q, in nats. `marginal_entropy_share` is the
    entropy of the marginal, averaged over leading dimensions: near 0 if all items have the same few prototypes.
    `information_share` is that minus the entropy: the mutual information of item and prototype, near 0 in every collapse.
    """
    marginal_entropy = torch.special.entr(marginal).sum(-1).mean()
    whole = math.log(marginal.shape[-1])
    return {
        "marginal_entropy_share": marginal_entropy / whole,
        "information_share": (marginal_entropy - entropy) / whole,
    }

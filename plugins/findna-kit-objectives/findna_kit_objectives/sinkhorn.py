"""Sinkhorn-Knopp codes: a balanced soft assignment computed from logits (Cuturi 2013; used by SwAV, Caron et al. 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


@torch.no_grad()
def sinkhorn(logits: Tensor, *, epsilon: float, iterations: int, weight: Tensor | None = None) -> Tensor:
    """Return codes [R, K], fp32: `Diag(u) exp(logits / epsilon) Diag(v)` in which every row sums to 1 (SwAV, equation 5).

    logits [R, K]: R items, K prototypes. Each iteration scales every prototype to the same total weight, and then every item to
    total 1. So rows always sum to 1, and prototypes are balanced in the limit. Without iterations the result is
    `softmax(logits / epsilon)`. Computed in logarithms, so that a small `epsilon` does not overflow.
    weight [R], not negative: how much each item counts. An item of weight 0 gets a code and does not influence the others.
    """
    log_codes = logits.float() / epsilon
    weight = torch.ones_like(log_codes[:, 0]) if weight is None else weight.float()
    log_weight = (weight + (weight.sum() == 0)).log()  # if all weights are 0 they become equal, which avoids 0 / 0
    for _ in range(iterations):
        # The weights enter the sums over items alone: an item of weight 0 adds exp(-inf) = 0 to them, and still gets a code.
        log_codes = log_codes - torch.logsumexp(log_codes + log_weight[:, None], 0)
        log_codes = log_codes - torch.logsumexp(log_codes, 1, keepdim=True)
    return log_codes.softmax(1)

"""Sinkhorn-Knopp codes (Cuturi 2013; as Caron et al. 2020, SwAV, use them): logits into a balanced soft assignment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


@torch.no_grad()
def sinkhorn(logits: Tensor, *, epsilon: float, iterations: int, weight: Tensor | None = None) -> Tensor:
    """Codes [R, K], fp32: `Diag(u) exp(logits / epsilon) Diag(v)` with every row a distribution (SwAV, equation 5).

    logits [R, K]: of R items over K prototypes. Each of the `iterations` gives every prototype the same share of the items,
    and then every item the whole of itself; what is shared out evenly is exact in the limit, what belongs to an item always.
    No iteration: `softmax(logits / epsilon)`. Taken in logarithms, so that no `epsilon` overflows.
    weight [R], not negative: how much of an item there is. One of weight 0 gets a code, and has no say in those of others.
    """
    log_codes = logits.float() / epsilon
    weight = torch.ones_like(log_codes[:, 0]) if weight is None else weight.float()
    log_weight = (weight + (weight.sum() == 0)).log()  # where nothing has a weight all are alike, and there is no 0 / 0
    for _ in range(iterations):
        log_codes = log_codes - torch.logsumexp(log_codes + log_weight[:, None], 0)
        log_codes = log_codes - torch.logsumexp(log_codes, 1, keepdim=True)
    return log_codes.softmax(1)

"""SimCLR (Chen et al. 2020, equation 1, Algorithm 1): NT-Xent, the normalised, temperature-scaled cross-entropy."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from findna_kit.components import BranchOutput, Clock, ComponentConfig, LossOutput
from findna_kit_objectives import spread
from findna_kit_objectives.between import BetweenViews

if TYPE_CHECKING:
    from collections.abc import Mapping


class SimCLR(BetweenViews):
    """SimCLR (NT-Xent): `- log exp(z_i z_j / t) / sum_(k != i) exp(z_i z_k / t)` (Chen 2020).

    j is the other view of sample i, and k runs over all 2 N samples of both views. The loss is over all pairs of the student's
    views, in both directions. The built-in `info_nce` sums over the N samples of the other view alone; here samples of the same
    view are negatives as well, 2 (N - 1) in all.
    """

    class Config(ComponentConfig):
        """Temperature and head."""

        temperature: float = Field(0.1, gt=0, description="temperature of the softmax over cosine similarities")
        layers: int = Field(2, ge=1, description="linear layers of the projector")
        hidden: int = Field(256, gt=0, description="width of the projector")
        output: int = Field(128, gt=0, description="width of the projections")
        norm: Literal["batch", "none"] = Field("none", description="normalisation of the projector's hidden layers")

    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"hidden": 12, "output": 6},
        {"hidden": 12, "output": 6, "norm": "batch"},
    )
    both_ways = True
    config: Config

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the cross-entropy in nats of the head output `projector` [N, output].

        Metrics: `accuracy`, the share of samples whose other view is the nearest of all; `spread`, 0 at collapse (`spread.py`).
        """
        z = spread.unit(student, "projector")
        nats, correct = [], []
        for first, second in combinations(z.values(), 2):
            # All 2 N projections against each other; -inf on the diagonal removes the comparison of a sample with itself.
            rows, count = torch.cat([first, second]), len(first)
            logits = (rows @ rows.T / self.config.temperature).fill_diagonal_(-torch.inf)
            # The positive of sample i is i + N, modulo 2 N.
            other = torch.arange(2 * count, device=rows.device).roll(count)
            nats.append(F.cross_entropy(logits, other, reduction="sum"))
            correct.append((logits.argmax(1) == other).sum())
        items = float(len(correct) * 2 * count)
        metrics = {"accuracy": torch.stack(correct).sum().float(), "spread": spread.batch_spread(z) * items}
        return LossOutput(torch.stack(nats).sum(), metrics)

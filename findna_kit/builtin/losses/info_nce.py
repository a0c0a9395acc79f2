"""InfoNCE between views of the same window (van den Oord et al. 2018, equation 4), symmetric, with the batch as negatives."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit.components import BranchOutput, Clock, ComponentConfig, Loss, LossOutput, Projector, View, ViewPlan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class InfoNCE(Loss):
    """InfoNCE: `- log exp(z_i z'_i / t) / sum_j exp(z_i z'_j / t)` of unit vectors (van den Oord 2018).

    The other windows of the batch are the negatives. It is summed over every pair of student views, in both directions.
    """

    class Config(ComponentConfig):
        """Temperature and projector."""

        temperature: float = Field(0.1, gt=0, description="temperature, which divides the cosine similarities")
        layers: int = Field(2, ge=1, description="linear layers of the projector")
        hidden: int = Field(256, gt=0, description="width of the projector")
        output: int = Field(128, gt=0, description="width of the projections")

    examples = ({"hidden": 16, "output": 8},)
    head_input = "pooled"
    coupling = "batch"

    def twin_heads(self) -> dict[str, nn.Module]:
        """Return the projector of the pooled embedding."""
        return {"projector": Projector(self.dim, self.config.hidden, self.config.output, self.config.layers)}

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Require two views that the student sees."""
        return None if sum(view.student for view in views) > 1 else "needs two views that the student sees"

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Count sequences times ordered pairs of views."""
        tokens = next(iter(student.values())).tokens
        return torch.tensor(float(len(tokens) * len(student) * (len(student) - 1)), device=tokens.device)

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the cross-entropy in nats, from the head `projector` [B, output].

        Metric: `accuracy`, the share of projections whose nearest one in the other view is of the same window.
        """
        # In fp32: cosines are divided by the temperature, and bf16 has only three significant digits.
        z = [F.normalize(output.heads["projector"].float(), dim=-1) for output in student.values()]
        target = torch.arange(len(z[0]), device=z[0].device)
        nats, correct = [], []
        for first, second in combinations(z, 2):
            similarity = first @ second.T / self.config.temperature
            # Both directions: each view of the pair provides the queries once.
            for logits in (similarity, similarity.T):
                nats.append(F.cross_entropy(logits, target, reduction="sum"))
                correct.append((logits.argmax(1) == target).sum())
        return LossOutput(torch.stack(nats).sum(), {"accuracy": torch.stack(correct).sum().float()})

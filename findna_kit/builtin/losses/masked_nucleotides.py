"""Masked nucleotides: cross-entropy at the masked positions (Devlin et al. 2019, BERT; the first loss of FinDNA)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit.components import BranchOutput, Clock, ComponentConfig, Loss, LossOutput, View, ViewPlan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class MaskedNucleotides(Loss):
    """Masked-nucleotide prediction: `- log p(base)` over A C G T at masked positions of student views (BERT, Devlin 2019).

    From an encoder with a stride, all bases of a patch are predicted from its embedding, and those masked are scored.
    """

    class Config(ComponentConfig):
        """No parameters."""

    head_input = "masked"
    nucleotide_head = "classifier"

    def twin_heads(self) -> dict[str, nn.Module]:
        """Return one linear layer. The teacher has a copy, so that it can predict nucleotides too."""
        return {"classifier": nn.Linear(self.dim, 4)}

    def patch_head(self, stride: int) -> nn.Module:
        """Return one linear layer for all bases of a patch."""
        return nn.Linear(self.dim, 4 * stride)

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Require a masked view that the student sees."""
        if any(view.student and view.masked for view in views):
            return None
        return "needs a view with `mask` that the student sees"

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Count masked positions by weight."""
        return torch.stack([view.masked_weight.sum() for view in student.values()]).sum()

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the cross-entropy in nats, from the head `classifier` [B, M, 4]; metrics: accuracy and bits per base."""
        nats, correct = [], []
        for output in student.values():
            # A view without a mask may belong to another loss.
            if not output.view.masked_index.shape[1]:
                continue
            logits, target = output.heads["classifier"].float(), output.view.masked_targets
            # An unused slot may point at N, which has no class; its weight is 0.
            per_base = F.cross_entropy(logits.flatten(0, 1), target.clamp(max=3).flatten(), reduction="none")
            weight = output.view.masked_weight
            nats.append((per_base.view_as(weight) * weight).sum())
            correct.append(((logits.argmax(-1) == target) * weight).sum())
        total = torch.stack(nats).sum()
        return LossOutput(total, {"accuracy": torch.stack(correct).sum(), "bits_per_base": total.detach() / math.log(2)})

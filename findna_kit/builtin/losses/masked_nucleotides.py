"""Masked nucleotides: cross-entropy at the masked positions (Devlin et al. 2019, BERT; FinDNA's first term)."""

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
    """`- log p(base)` summed over the masked positions of the student's views; the classes are A C G T."""

    class Config(ComponentConfig):
        """Nothing to choose."""

    head_input = "masked"
    nucleotide_head = "classifier"

    def twin_heads(self) -> dict[str, nn.Module]:
        """One linear layer; the teacher has a copy, so that it can be asked for nucleotides too."""
        return {"classifier": nn.Linear(self.dim, 4)}

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """At least one view of the student must be masked."""
        if any(view.student and view.masked for view in views):
            return None
        return "needs a view with `mask` that the student sees"

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Masked positions."""
        return torch.stack([view.masked_weight.sum() for view in student.values()]).sum()

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Cross-entropy in nats over heads' `classifier` [B, M, 4]; metrics: accuracy and bits per base."""
        nats, correct = [], []
        for output in student.values():
            if not output.view.masked_index.shape[1]:
                continue
            logits, target = output.heads["classifier"].float(), output.view.masked_targets
            # A slot that is not used may point at N, which has no class; its weight is 0.
            per_base = F.cross_entropy(logits.flatten(0, 1), target.clamp(max=3).flatten(), reduction="none")
            weight = output.view.masked_weight
            nats.append((per_base.view_as(weight) * weight).sum())
            correct.append(((logits.argmax(-1) == target) * weight).sum())
        total = torch.stack(nats).sum()
        return LossOutput(total, {"accuracy": torch.stack(correct).sum(), "bits_per_base": total.detach() / math.log(2)})

"""DINO: self-distillation without labels, with multi-crop (Caron et al. 2021, equations 1 to 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch

from findna_kit.components import BranchOutput, Clock, LossOutput, View, ViewPlan
from findna_kit_objectives import pairs
from findna_kit_objectives.distillation import DistillationConfig, PrototypeDistillation, collapse_signals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


class DINO(PrototypeDistillation):
    """Cross-entropy of the student's class embeddings against those of the teacher's other views (equation 3).

    Multi-crop is said by the views: the teacher is shown the whole ones, the student all of them, short crops included.
    Summed over sequences, class tokens and pairs of a student's and another, teacher's view.

    Beside the built-in `self_distillation`: that one keeps a centre for each class token, as FinDNA does, here one centre or
    one Sinkhorn serves all class tokens (with one token, the paper's); centring is a choice; the prototypes can be held.
    """

    class Config(DistillationConfig):
        """Temperatures, centring and the head."""

    head_input = "class"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = tuple(
        {"layers": 2, "hidden": 12, "bottleneck": 6, "prototypes": 8, "centering": centering}
        for centering in ("center", "sinkhorn", "none")
    )

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Class tokens, and a view of the teacher's beside another one of the student's."""
        if self.class_tokens == 0:
            return "needs class tokens: set class_tokens above 0"
        return pairs.without_teacher(views)

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Pairs of views, times sequences, times class tokens."""
        return pairs.items(teacher, len(pairs.across(student, teacher)) * self.class_tokens)

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """In nats, over heads' `logits` [B, C, K]. Metrics: entropy of q and divergence, as `collapse_signals` reads them."""
        logits = torch.stack([output.heads["logits"].float() for output in teacher.values()])
        q = dict(zip(teacher, self.targets(logits.flatten(0, -2), clock).view_as(logits), strict=True))
        log_p = {name: self.log_assignment(output.heads["logits"]) for name, output in student.items()}
        both = pairs.across(student, teacher)
        total = -torch.stack([(q[t] * log_p[s]).sum() for s, t in both]).sum()
        entropy = torch.stack([torch.special.entr(q[t]).sum() for _, t in both]).sum()
        return LossOutput(total, collapse_signals(entropy, total, logits.shape[-1]), self.carried(logits.mean((0, 2))))

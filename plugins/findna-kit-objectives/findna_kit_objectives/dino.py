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
    """DINO: cross-entropy between the class-token assignments of student and teacher on different views (Caron 2021).

    Multi-crop is set up in the recipe's views: the teacher sees the long crops, the student sees all, including short ones. The
    loss (equation 3) is summed over sequences, class tokens and pairs of a view of the student and another view of the teacher.

    Differences from the built-in `self_distillation`: that loss has a centre for each class token, as FinDNA does; here one
    centre, or one Sinkhorn step, covers all class tokens (with one token this is the paper's). The kind of centring can be
    chosen, and the prototypes can be frozen at first.
    """

    class Config(DistillationConfig):
        """Temperatures, centring and the head."""

    head_input = "class"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = tuple(
        {"layers": 2, "hidden": 12, "bottleneck": 6, "prototypes": 8, **more}
        for more in ({}, {"centering": "sinkhorn"}, {"centering": "none"}, {"norm": "batch", "prototypes_frozen": 0.5})
    )

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Require class tokens, a view of the student and a different view of the teacher."""
        if self.class_tokens == 0:
            return "needs class tokens: set class_tokens above 0"
        return pairs.teacher_problem(views)

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Return the number of pairs of views times sequences times class tokens."""
        return pairs.items(teacher, len(pairs.across(student, teacher)) * self.class_tokens)

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the cross-entropy in nats of the head output `logits` [B, C, K]; metrics: see `collapse_signals`."""
        # All views of the teacher together: one centre, or one Sinkhorn step, for all of them.
        logits = torch.stack([output.heads["logits"].float() for output in teacher.values()])
        q = dict(zip(teacher, self.targets(logits.flatten(0, -2), clock).view_as(logits), strict=True))
        log_p = {name: self.log_assignment(output.heads["logits"]) for name, output in student.items()}
        view_pairs = pairs.across(student, teacher)
        total = -torch.stack([(q[t] * log_p[s]).sum() for s, t in view_pairs]).sum()
        entropy = torch.stack([torch.special.entr(q[t]).sum() for _, t in view_pairs]).sum()
        state_inputs = self.center_inputs(logits.mean((0, 2)))
        marginal = torch.stack([q[t].flatten(0, -2).sum(0) for _, t in view_pairs]).sum(0)
        metrics = collapse_signals(entropy, total, logits.shape[-1])
        return LossOutput(total, metrics, state_inputs, {"marginal": marginal})

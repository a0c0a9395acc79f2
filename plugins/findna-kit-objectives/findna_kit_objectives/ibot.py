"""iBOT: masked self-distillation over tokens (Zhou et al. 2022), and its dense form between views (after Wang et al. 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field

from findna_kit.components import BranchOutput, Clock, LossOutput, View, ViewPlan
from findna_kit_objectives.distillation import DistillationConfig, PrototypeDistillation, collapse_signals
from findna_kit_objectives.origins import partners

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor


class IBOT(PrototypeDistillation):
    """iBOT: cross-entropy between assignments of masked bases (student) and of the same bases unmasked (teacher) (Zhou 2022).

    With `partners: same` a base is compared within one view, which is the paper's loss over masked patches. With `other` it is
    compared with the same base in another view. That position follows from `origin`, across deletions, shifts and strands;
    DenseCL (Wang et al. 2021, section 3.3) instead pairs the most similar embeddings. The loss is summed over these pairs; a
    masked base that is in no view of the teacher has none. The paper averages over the masks of an image first; here every base
    has the same weight. The paper masks half of the crops, a share of 0.1 to 0.5 in blocks, and shows nothing but MASK:
    recipes/methods/ibot.yaml.

    The paper's term over class tokens is the loss `dino`. Heads are applied at every position, because a partner may be
    anywhere: memory grows with length times prototypes, and `norm: batch` counts every position, padding too. The centre is
    the mean over the valid positions of the teacher's views; Sinkhorn-Knopp is over the pairs.
    """

    class Config(DistillationConfig):
        """Temperatures, centring, the head, and which pairs to compare."""

        partners: Literal["same", "other", "any"] = Field(
            "any", description="views of the teacher in which a masked base is looked up: the same view, other views, or both"
        )

    head_input = "all"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = tuple(
        {"layers": 2, "hidden": 12, "bottleneck": 6, "prototypes": 8, **more}
        for more in ({}, {"centering": "sinkhorn"}, {"centering": "none"}, {"norm": "batch", "prototypes_frozen": 0.5})
    )
    config: Config

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Require a masked view of the student, and a view of the teacher that `partners` allows."""
        masked, unmasked = [v.name for v in views if v.student and v.masked], [v.name for v in views if v.teacher]
        if not masked:
            return "needs a view with `mask` that the student sees"
        if not self._pairs(masked, unmasked):
            where = {"same": "that view", "other": "another view", "any": "some view"}[self.config.partners]
            return f"needs the teacher to see {where}: add `teacher` to the view's `see`, or change `partners`"
        return None

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Return the number of masked bases that the teacher sees, counted once for each of its views."""
        weights = [partners(student[s], teacher[t])[1].sum() for s, t in self._pairs(_masked(student), teacher)]
        return torch.stack(weights).sum()

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the cross-entropy in nats of the head output `logits` [B, L, K]; metrics: see `collapse_signals`."""
        masked = _masked({name: output.view for name, output in student.items()})
        log_p, targets, weights = [], [], []
        for s, t in self._pairs(masked, teacher):
            position, weight = partners(masked[s], teacher[t].view)
            log_p.append(self.log_assignment(_gather(student[s].heads["logits"], masked[s].masked_index)).flatten(0, 1))
            targets.append(_gather(teacher[t].heads["logits"], position).flatten(0, 1))
            weights.append(weight.flatten())
        # Masked bases without a partner keep their slot, with weight 0, so that shapes do not depend on the data.
        weight = torch.cat(weights)
        q = self.targets(torch.cat(targets), clock, weight=weight)
        total = -((q * torch.cat(log_p)).sum(-1) * weight).sum()
        entropy = (torch.special.entr(q).sum(-1) * weight).sum()
        metrics = collapse_signals(entropy, total, q.shape[-1])
        return LossOutput(total, metrics, self._state_inputs(teacher), {"marginal": weight @ q})

    def _pairs(self, masked: Iterable[str], unmasked: Iterable[str]) -> list[tuple[str, str]]:
        """Return the pairs of a masked view of the student and a view of the teacher that `partners` allows."""
        names, allowed = list(unmasked), self.config.partners
        return [(s, t) for s in masked for t in names if allowed == "any" or (s == t) == (allowed == "same")]

    def _state_inputs(self, teacher: Mapping[str, BranchOutput]) -> dict[str, Tensor]:
        """Return the mean of the teacher's logits over the valid positions of each sequence, for the centre."""
        if self.config.centering != "center":
            return {}
        means = []
        for output in teacher.values():
            valid = output.view.valid.float()
            share = valid / valid.sum(1, keepdim=True).clamp(min=1)
            means.append(torch.einsum("bl,blk->bk", share, output.heads["logits"].float()))
        return self.center_inputs(torch.stack(means).mean(0))


def _masked(student: Mapping[str, View]) -> dict[str, View]:
    return {name: view for name, view in student.items() if view.masked_index.shape[1]}


def _gather(values: Tensor, positions: Tensor) -> Tensor:
    """Return the rows of `values` [B, L, K] at `positions` [B, M], as [B, M, K]."""
    return values.gather(1, positions[..., None].expand(-1, -1, values.shape[-1]))

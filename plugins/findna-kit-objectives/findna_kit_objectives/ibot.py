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
    """Cross-entropy of the student's masked bases against the same bases as the teacher sees them, unmasked.

    `partners: same`: in the same view, which is the paper's loss over masked patches. `other`: wherever the base stands in
    another view, found through `origin`, so through deletions, shifts and strands; DenseCL's pairs (Wang et al. 2021, section
    3.3) are those of the most similar embeddings, here they are known. Summed over such pairs; a masked base that no view of
    the teacher's holds gives none. The paper averages over the masks of an image first, here every base weighs the same.

    The paper's term over class tokens is the loss `dino`. Heads are applied at every position, the teacher's partners being
    anywhere: memory grows with length times prototypes. The centre is the mean over the valid positions of the teacher's views;
    Sinkhorn is over the pairs.
    """

    class Config(DistillationConfig):
        """Temperatures, centring, the head, and which pairs."""

        partners: Literal["same", "other", "any"] = Field(
            "any", description="where the teacher shows the masked base: in the same view, in other views, or both"
        )

    head_input = "all"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = tuple(
        {"layers": 2, "hidden": 12, "bottleneck": 6, "prototypes": 8, "centering": centering}
        for centering in ("center", "sinkhorn", "none")
    )
    config: Config

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """A masked view of the student's, and one of the teacher's for `partners`."""
        masked, shown = [v.name for v in views if v.student and v.masked], [v.name for v in views if v.teacher]
        if not masked:
            return "needs a view with `mask` that the student sees"
        if not self._pairs(masked, shown):
            where = {"same": "that view", "other": "another view", "any": "some view"}[self.config.partners]
            return f"needs the teacher to see {where}: add it to the view's `see`, or state other `partners`"
        return None

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Masked bases that the teacher sees, once for each view that it sees them in."""
        weights = [partners(student[s], teacher[t])[1].sum() for s, t in self._pairs(_masked(student), teacher)]
        return torch.stack(weights).sum()

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """In nats, over heads' `logits` [B, L, K]. Metrics: entropy of q and divergence, as `collapse_signals` reads them."""
        masked = _masked({name: output.view for name, output in student.items()})
        log_p, seen, weights = [], [], []
        for s, t in self._pairs(masked, teacher):
            place, weight = partners(masked[s], teacher[t].view)
            log_p.append(self.log_assignment(_at(student[s].heads["logits"], masked[s].masked_index)).flatten(0, 1))
            seen.append(_at(teacher[t].heads["logits"], place).flatten(0, 1))
            weights.append(weight.flatten())
        weight = torch.cat(weights)
        q = self.targets(torch.cat(seen), clock, weight=weight)
        total = -((q * torch.cat(log_p)).sum(-1) * weight).sum()
        entropy = (torch.special.entr(q).sum(-1) * weight).sum()
        return LossOutput(total, collapse_signals(entropy, total, q.shape[-1]), self._carry(teacher))

    def _pairs(self, masked: Iterable[str], shown: Iterable[str]) -> list[tuple[str, str]]:
        names, wanted = list(shown), self.config.partners
        return [(s, t) for s in masked for t in names if wanted == "any" or (s == t) == (wanted == "same")]

    def _carry(self, teacher: Mapping[str, BranchOutput]) -> dict[str, Tensor]:
        if self.config.centering != "center":
            return {}
        means = []
        for output in teacher.values():
            valid = output.view.valid.float()
            share = valid / valid.sum(1, keepdim=True).clamp(min=1)
            means.append(torch.einsum("bl,blk->bk", share, output.heads["logits"].float()))
        return self.carried(torch.stack(means).mean(0))


def _masked(student: Mapping[str, View]) -> dict[str, View]:
    return {name: view for name, view in student.items() if view.masked_index.shape[1]}


def _at(rows: Tensor, place: Tensor) -> Tensor:
    """[B, L, K] at [B, M]: [B, M, K]."""
    return rows.gather(1, place[..., None].expand(-1, -1, rows.shape[-1]))

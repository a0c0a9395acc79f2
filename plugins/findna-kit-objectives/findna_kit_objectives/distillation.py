"""Base class of `dino` and `ibot`: distillation of soft assignments to prototypes, with centring or Sinkhorn-Knopp."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from findna_kit.components import Clock, Constant, Loss, Schedule, ScheduleFunction, information_shares, sinkhorn, within
from findna_kit_objectives.prototypes import PrototypeConfig, frozen_prototypes, prototype_head, prototype_rates

if TYPE_CHECKING:
    from collections.abc import Mapping


class DistillationConfig(PrototypeConfig):
    """Temperatures, centring and the head."""

    student_temperature: float = Field(0.1, gt=0, description="temperature of the student's softmax")
    teacher_temperature: Annotated[Schedule, within(1e-6)] = Field(
        Constant(value=0.04), description="temperature of the teacher's softmax, or epsilon of Sinkhorn-Knopp"
    )
    centering: Literal["center", "sinkhorn", "none"] = Field(
        "center",
        description="center: subtract an EMA of the teacher's logits; sinkhorn: Sinkhorn-Knopp over the global batch; "
        "none: neither (collapses)",
    )
    center_momentum: float = Field(0.9, ge=0, le=1, description="share of the old centre that is kept per step, for `center`")
    sinkhorn_iterations: int = Field(3, ge=1, description="iterations of Sinkhorn-Knopp, for `sinkhorn`")
    norm: Literal["none", "batch"] = Field(
        "none", description="normalisation between the projector's layers; batch: over the global batch, which it couples"
    )


class PrototypeDistillation(Loss):
    """Cross-entropy `- sum_k q_k log p_k` of soft assignments to prototypes.

    The student's assignment is `p = softmax(P / student_temperature)`. The teacher's q is computed from its logits Q:

    center (Caron et al. 2021, DINO, equation 4): `q = softmax((Q - centre) / teacher_temperature)`. One centre for all items is
        updated once per step: `centre <- m centre + (1 - m) mean_batch(Q)`. Unlike in the paper, m is at most
        step / (step + 1): a centre that rises slowly from 0 would leave what all windows have in common in the first targets.
    sinkhorn (Caron et al. 2020; as in DINOv2, Oquab et al. 2023): balanced codes of all items of the global batch, with
        `teacher_temperature` as epsilon. Couples the batch.
    none: `q = softmax(Q / teacher_temperature)`, a control that shows the effect of the other two.

    With `norm: batch` (DINO's head with `use_bn`, iBOT's with `norm_in_head`) both branches normalise with the statistics of
    the batch, and the loss couples it.
    """

    needs_teacher = True
    config: DistillationConfig
    center: Tensor

    def __init__(self, config: DistillationConfig, *, dim: int, class_tokens: int) -> None:
        super().__init__(config, dim=dim, class_tokens=class_tokens)
        # Balancing needs the logits of the whole global batch, and normalisation the hidden layers.
        if config.centering == "sinkhorn" or config.norm == "batch":
            self.coupling = "batch"
        if config.centering == "center":
            self.register_buffer("center", torch.zeros(config.prototypes))

    def twin_heads(self) -> dict[str, nn.Module]:
        """Return the projector and the prototypes; the output of the latter is `logits`."""
        return prototype_head(self.dim, self.config, norm=self.config.norm)

    def head_learning_rates(self) -> dict[str, ScheduleFunction]:
        """Return the learning rate of the prototypes, if the recipe sets one."""
        return prototype_rates(self.config)

    def frozen_heads(self, clock: Clock) -> tuple[str, ...]:
        """Return `logits`, the prototypes, while they are frozen."""
        return frozen_prototypes(self.config, clock)

    def targets(self, logits: Tensor, clock: Clock, *, weight: Tensor | None = None) -> Tensor:
        """Return the teacher's assignments q [R, K], fp32 and without gradient, for logits [R, K].

        weight [R]: how much each item counts in the balance of Sinkhorn-Knopp.
        """
        temperature = self.config.teacher_temperature(clock)
        # In fp32: divided by a small temperature, rounding errors of bf16 logits would become large.
        logits = logits.detach().float()
        if self.config.centering == "sinkhorn":
            return sinkhorn(logits, epsilon=temperature, iterations=self.config.sinkhorn_iterations, weight=weight)
        if self.config.centering == "center":
            logits = logits - self.center
        return (logits / temperature).softmax(-1)

    def log_assignment(self, logits: Tensor) -> Tensor:
        """Return the student's log p, in fp32."""
        return (logits.float() / self.config.student_temperature).log_softmax(-1)

    def center_inputs(self, mean_logits: Tensor) -> dict[str, Tensor]:
        """Return the state inputs for the centre: the teacher's logits, averaged over each sequence, [B, K]."""
        return {"logits": mean_logits.detach()} if self.config.centering == "center" else {}

    def derived_metrics(self, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the entropy of the mean of q over the items, and the information in q (see `information_shares`)."""
        return information_shares(means["marginal"], means["teacher_entropy"])

    def after_step(self, state_inputs: Mapping[str, Tensor], clock: Clock) -> None:
        """Update the centre, if there is one, with the mean of the teacher's logits over the global batch."""
        if self.config.centering == "center":
            momentum = min(self.config.center_momentum, clock.step / (clock.step + 1))
            self.center.lerp_(state_inputs["logits"].mean(0), 1 - momentum)


def collapse_signals(entropy: Tensor, cross_entropy: Tensor, prototypes: int) -> dict[str, Tensor]:
    """Return metrics that show a collapse, as sums over items (DINO, section 5.3: `H(q, p) = H(q) + KL(q | p)`).

    If every input has the same q, the divergence approaches 0. The entropy as a share of `ln prototypes` then approaches 1 if q
    is uniform (centred, not sharpened), and 0 if q is a single prototype (sharpened, not centred).
    """
    return {
        "teacher_entropy": entropy,
        "teacher_entropy_share": entropy / math.log(prototypes),
        "divergence": (cross_entropy - entropy).detach(),
    }

"""What dino and ibot share: an assignment to prototypes, learned from a teacher whose own is centred and sharpened."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from findna_kit.components import Clock, Loss, Schedule, ScheduleValue, within
from findna_kit_objectives.prototypes import PrototypeConfig, prototype_head, prototype_rates
from findna_kit_objectives.sinkhorn import sinkhorn

if TYPE_CHECKING:
    from collections.abc import Mapping


class DistillationConfig(PrototypeConfig):
    """Temperatures, centring and the head."""

    student_temperature: float = Field(0.1, gt=0, description="divides the student's logits")
    teacher_temperature: Annotated[Schedule, within(1e-6)] = Field(
        ScheduleValue(constant=0.04), description="divides the teacher's logits, centred or not"
    )
    centering: Literal["center", "sinkhorn", "none"] = Field(
        "center",
        description="a moving mean taken off the teacher's logits, Sinkhorn-Knopp over the global batch, or none (collapses)",
    )
    center_momentum: float = Field(0.9, ge=0, le=1, description="share of the old centre kept per step, with `center`")
    sinkhorn_iterations: int = Field(3, ge=1, description="of Sinkhorn-Knopp, with `sinkhorn`")


class PrototypeDistillation(Loss):
    """`- sum_k q_k log p_k` with `p = softmax(P / student_temperature)` and q what `centering` makes of the teacher's Q.

    center (Caron et al. 2021, DINO, equation 4): `q = softmax((Q - centre) / teacher_temperature)`, the centre moved once per
        step: `centre <- m centre + (1 - m) mean_batch(Q)`; there is one for all rows. m is at most step / (step + 1), which
        the paper has not: a centre that crept up from 0 would leave in the first targets what all windows have in common.
    sinkhorn (Caron et al. 2020; as Oquab et al. 2023, DINOv2): balanced codes of all the rows of the global batch, with
        `teacher_temperature` as epsilon. Couples the batch.
    none: `q = softmax(Q / teacher_temperature)`, to show what the others are for.
    """

    needs_teacher = True
    config: DistillationConfig
    center: Tensor

    def __init__(self, config: DistillationConfig, *, dim: int, class_tokens: int) -> None:
        super().__init__(config, dim=dim, class_tokens=class_tokens)
        if config.centering == "sinkhorn":
            self.coupling = "batch"
        if config.centering == "center":
            self.register_buffer("center", torch.zeros(config.prototypes))

    def twin_heads(self) -> dict[str, nn.Module]:
        """The projector and the prototypes; the last output is `logits`."""
        return prototype_head(self.dim, self.config)

    def head_learning_rates(self) -> dict[str, ScheduleValue]:
        """Of the prototypes, where the recipe states one."""
        return prototype_rates(self.config)

    def targets(self, logits: Tensor, clock: Clock, *, weight: Tensor | None = None) -> Tensor:
        """The teacher's q [R, K], fp32 and without gradient, of its logits [R, K]; `weight` [R]: of each row in the whole."""
        temperature = self.config.teacher_temperature(clock)
        logits = logits.detach().float()
        if self.config.centering == "sinkhorn":
            return sinkhorn(logits, epsilon=temperature, iterations=self.config.sinkhorn_iterations, weight=weight)
        if self.config.centering == "center":
            logits = logits - self.center
        return (logits / temperature).softmax(-1)

    def log_assignment(self, logits: Tensor) -> Tensor:
        """The student's log p, fp32, of its logits."""
        return (logits.float() / self.config.student_temperature).log_softmax(-1)

    def carried(self, mean_logits: Tensor) -> dict[str, Tensor]:
        """What `after_step` wants of the teacher's logits, averaged over each sequence: [B, K]."""
        return {"logits": mean_logits.detach()} if self.config.centering == "center" else {}

    def after_step(self, state_inputs: Mapping[str, Tensor], clock: Clock) -> None:
        """Moves the centre, if there is one, towards the mean of the teacher's logits over the global batch."""
        if self.config.centering == "center":
            kept = min(self.config.center_momentum, clock.step / (clock.step + 1))
            self.center.lerp_(state_inputs["logits"].mean(0), 1 - kept)


def collapse_signals(entropy: Tensor, cross_entropy: Tensor, prototypes: int) -> dict[str, Tensor]:
    """Sums over items, from the teacher's entropy and the cross-entropy (DINO, section 5.3: `H(q, p) = H(q) + KL(q | p)`).

    Where a branch gives everything the same q, the divergence goes to 0; and the entropy, as a share of `ln prototypes`, to 1
    where that q is uniform (centred, not sharpened), to 0 where it is one prototype (sharpened, not centred).
    """
    return {
        "teacher_entropy": entropy,
        "teacher_entropy_share": entropy / math.log(prototypes),
        "divergence": (cross_entropy - entropy).detach(),
    }

"""Self-distillation on class tokens: the cross-entropy of DINO (Caron et al. 2021, equations 1 to 4), as FinDNA uses it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from findna_kit.components import (
    BranchOutput,
    Clock,
    ComponentConfig,
    Constant,
    Loss,
    LossOutput,
    Projector,
    Prototypes,
    Schedule,
    View,
    ViewPlan,
    within,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class SelfDistillation(Loss):
    """Self-distillation of class tokens: `- sum_k q_k log p_k` with targets q of a centred and sharpened teacher (Caron 2021).

    Here `p = softmax(P / student_temperature)` and `q = softmax((Q - centre) / teacher_temperature)`, where P and Q are the
    logits of student and teacher. It is summed over sequences, class tokens and pairs of a student view and a different teacher
    view. Each class token has a centre, which is updated once per step: `centre <- m centre + (1 - m) mean_batch(Q)`, where m
    is at most step / (step + 1).
    """

    class Config(ComponentConfig):
        """Temperatures, centring and head."""

        student_temperature: float = Field(0.1, gt=0, description="temperature of the student: divides its logits")
        # Not within(0): bounds are inclusive, and the logits are divided by this value.
        teacher_temperature: Annotated[Schedule, within(1e-6)] = Field(
            Constant(value=0.04), description="temperature of the teacher: divides its centred logits"
        )
        center_momentum: float = Field(0.9, ge=0, le=1, description="share of the old centre kept per step")
        head: Literal["prototypes", "five_way"] = Field(
            "prototypes", description="prototypes: an MLP and cosines to prototypes; five_way: the paper's one linear layer"
        )
        layers: int = Field(3, ge=1, description="linear layers of the MLP")
        hidden: int = Field(512, gt=0, description="width of the MLP")
        bottleneck: int = Field(128, gt=0, description="output width of the MLP")
        prototypes: int = Field(512, gt=1, description="number of prototypes")

    examples = (
        {"layers": 2, "hidden": 16, "bottleneck": 8, "prototypes": 12},
        {"head": "five_way", "center_momentum": 0.5},
    )
    head_input = "class"
    needs_teacher = True
    center: Tensor

    def __init__(self, config: Config, *, dim: int, class_tokens: int) -> None:
        super().__init__(config, dim=dim, class_tokens=class_tokens)
        outputs = config.prototypes if config.head == "prototypes" else 5
        # One centre per class token: each token may specialise, and its logits have a mean of their own.
        self.register_buffer("center", torch.zeros(class_tokens, outputs))

    def twin_heads(self) -> dict[str, nn.Module]:
        """Return the projection heads of the class embeddings; the last output is `logits`."""
        if self.config.head == "five_way":
            return {"logits": nn.Linear(self.dim, 5)}
        return {
            "projector": Projector(self.dim, self.config.hidden, self.config.bottleneck, self.config.layers),
            "logits": Prototypes(self.config.bottleneck, self.config.prototypes),
        }

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Require class tokens, and a student view other than some teacher view."""
        if self.class_tokens == 0:
            return "needs class tokens: set class_tokens above 0"
        if not _pairs([v.name for v in views if v.student], [v.name for v in views if v.teacher]):
            return "needs a view that the teacher sees and a different one that the student sees"
        return None

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Count pairs of views times sequences times class tokens."""
        tokens = next(iter(teacher.values())).tokens
        return torch.tensor(float(len(_pairs(student, teacher)) * len(tokens) * self.class_tokens), device=tokens.device)

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the cross-entropy in nats, from the head `logits` [B, C, K].

        Metrics: `teacher_entropy`, the entropy of q in nats, and `teacher_entropy_share`, the same divided by ln K. A share
        of 1 means that the teacher is uniform: collapse.
        """
        # In fp32: logits are divided by temperatures as small as 0.01.
        logits = {name: output.heads["logits"].float() for name, output in teacher.items()}
        temperature = self.config.teacher_temperature(clock)
        # Centring keeps single prototypes from dominating, a low temperature keeps targets from becoming uniform.
        targets = {name: ((q - self.center) / temperature).softmax(-1).detach() for name, q in logits.items()}
        log_p = {
            name: (o.heads["logits"].float() / self.config.student_temperature).log_softmax(-1) for name, o in student.items()
        }
        # A view is never compared with itself: student and teacher would only have to agree on identical input.
        pairs = _pairs(student, teacher)
        total = -torch.stack([(targets[t] * log_p[s]).sum() for s, t in pairs]).sum()
        # Once per pair, as in the loss: the trainer divides both by `count`, which counts pairs.
        entropy = torch.stack([torch.special.entr(targets[t]).sum() for _, t in pairs]).sum()
        metrics = {"teacher_entropy": entropy, "teacher_entropy_share": entropy / math.log(self.center.shape[-1])}
        # [B, C, K]: views are averaged here, but not samples, by which the trainer concatenates micro-batches and processes.
        return LossOutput(total, metrics, {"logits": torch.stack(list(logits.values())).mean(0).detach()})

    def after_step(self, state_inputs: Mapping[str, Tensor], clock: Clock) -> None:
        """Update the centre with the mean of the teacher's logits over the global batch.

        The first steps use the plain mean of all batches so far. A centre that rose slowly from 0 would leave in the targets
        what all windows have in common, and the student would learn only that constant.
        """
        # At step 0 this is 0, so that nothing remains of the zeros that the centre begins with.
        momentum = min(self.config.center_momentum, clock.step / (clock.step + 1))
        self.center.lerp_(state_inputs["logits"].mean(0), 1 - momentum)


def _pairs(
    student: Mapping[str, object] | Sequence[str], teacher: Mapping[str, object] | Sequence[str]
) -> list[tuple[str, str]]:
    """Return the pairs of a student view and a different teacher view, by name."""
    return [(s, t) for s in student for t in teacher if s != t]

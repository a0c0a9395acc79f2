"""Self-distillation: the cross-entropy of DINO (Caron et al. 2021, equations 1 to 4), as FinDNA uses it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
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
    information_shares,
    sinkhorn,
    within,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class SelfDistillation(Loss):
    """Self-distillation: `- sum_k q_k log p_k` with targets q of a centred and sharpened teacher (Caron 2021, DINO).

    Here `p = softmax(P / student_temperature)` and `q = softmax((Q - centre) / teacher_temperature)`, where P and Q are the
    logits of student and teacher. It is summed over sequences, class tokens and pairs of a student view and a different teacher
    view. With `reads: pooled` the mean over bases takes the place of the class tokens and counts as one.

    centering, for each class token separately: `ema` has a centre, which is updated once per step: `centre <- m centre +
        (1 - m) mean_batch(Q)`, where m is at most step / (step + 1). `sinkhorn` balances q over all views of the batch instead,
        with `teacher_temperature` as epsilon (Caron 2020, SwAV; Oquab 2023, DINOv2).
    norm: `batch` puts batch normalisation and ReLU between the layers of the MLP (Grill 2020, BYOL; the option `use_bn` of
        DINO's head). The teacher's copy uses the statistics of the same batch.
    freeze_last_layer: the prototypes get no gradient at first (Caron 2021: in the first epoch).
    predictor_layers: an MLP of the student alone between the projection and the prototypes, as BYOL predicts the teacher's
        projection (Grill 2020). Prototypes are shared, so that p and q are assignments to the same ones.

    `centering: sinkhorn` and `norm: batch` couple the batch.
    """

    class Config(ComponentConfig):
        """Temperatures, centring and head."""

        student_temperature: float = Field(0.1, gt=0, description="temperature of the student: divides its logits")
        # Not within(0): bounds are inclusive, and the logits are divided by this value.
        teacher_temperature: Annotated[Schedule, within(1e-6)] = Field(
            Constant(value=0.04), description="temperature of the teacher: divides its centred logits"
        )
        centering: Literal["ema", "sinkhorn"] = Field(
            "ema", description="ema: subtract an EMA of the teacher's logits; sinkhorn: Sinkhorn-Knopp over the global batch"
        )
        center_momentum: float = Field(0.9, ge=0, le=1, description="share of the old centre kept per step, for `ema`")
        sinkhorn_iterations: int = Field(3, ge=1, description="iterations of Sinkhorn-Knopp, for `sinkhorn`")
        reads: Literal["class", "pooled"] = Field(
            "class",
            description="class: each class token, as in FinDNA; pooled: the mean over the bases, as evaluation reads it",
        )
        head: Literal["prototypes", "five_way"] = Field(
            "prototypes", description="prototypes: an MLP and cosines to prototypes; five_way: the paper's one linear layer"
        )
        norm: Literal["none", "batch"] = Field(
            "none", description="normalisation between the layers of the MLP; batch: over the samples of the global batch"
        )
        layers: int = Field(3, ge=1, description="linear layers of the MLP")
        hidden: int = Field(512, gt=0, description="width of the MLP")
        bottleneck: int = Field(128, gt=0, description="output width of the MLP")
        prototypes: int = Field(512, gt=1, description="number of prototypes")
        freeze_last_layer: float = Field(
            0.0, ge=0, le=1, description="share of the steps, from the first one, in which the last layer is not trained"
        )
        predictor_layers: int = Field(0, ge=0, description="linear layers of the student's predictor; 0: no predictor")

        @model_validator(mode="after")
        def _norm_has_a_place(self) -> Self:
            if self.norm == "batch" and (self.head == "five_way" or self.layers == 1):
                raise ValueError("norm: batch goes between the layers of the MLP: use head: prototypes with layers: 2 or more")
            return self

    examples = (
        {"layers": 2, "hidden": 16, "bottleneck": 8, "prototypes": 12},
        {"head": "five_way", "center_momentum": 0.5},
        {"reads": "pooled", "norm": "batch", "layers": 2, "hidden": 16, "bottleneck": 8, "prototypes": 12},
        {"centering": "sinkhorn", "predictor_layers": 2, "layers": 1, "hidden": 16, "bottleneck": 8, "prototypes": 12},
    )
    student_heads_before = "logits"
    head_input: Literal["class", "pooled"] = "class"
    needs_teacher = True
    center: Tensor

    def __init__(self, config: Config, *, dim: int, class_tokens: int) -> None:
        super().__init__(config, dim=dim, class_tokens=class_tokens)
        if config.reads == "pooled":
            self.head_input = "pooled"
        # Balancing needs the logits of the whole global batch, and normalisation the hidden layers.
        if config.norm == "batch" or config.centering == "sinkhorn":
            self.coupling = "batch"
        self.tokens = class_tokens if config.reads == "class" else 1
        outputs = config.prototypes if config.head == "prototypes" else 5
        # One centre per class token: each token may specialise, and its logits have a mean of their own.
        if config.centering == "ema":
            self.register_buffer("center", torch.zeros(self.tokens, outputs))

    def twin_heads(self) -> dict[str, nn.Module]:
        """Return the projection heads; the last output is `logits`."""
        config = self.config
        if config.head == "five_way":
            return {"logits": nn.Linear(self.dim, 5)}
        return {
            "projector": Projector(self.dim, config.hidden, config.bottleneck, config.layers, norm=config.norm),
            "logits": Prototypes(config.bottleneck, config.prototypes),
        }

    def student_heads(self) -> dict[str, nn.Module]:
        """Return the predictor, if there is one, which keeps the width of the projection."""
        config = self.config
        if config.predictor_layers == 0:
            return {}
        width = config.bottleneck if config.head == "prototypes" else self.dim
        return {"predictor": Projector(width, config.hidden, width, config.predictor_layers, norm=config.norm)}

    def frozen_heads(self, clock: Clock) -> tuple[str, ...]:
        """Return `logits`, the last layer, while it is frozen."""
        return ("logits",) if clock.step < self.config.freeze_last_layer * clock.steps else ()

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Require class tokens if they are read, and a student view other than some teacher view."""
        if self.tokens == 0:
            return "needs class tokens: set class_tokens above 0, or reads: pooled"
        if not _pairs([v.name for v in views if v.student], [v.name for v in views if v.teacher]):
            return "needs a view that the teacher sees and a different one that the student sees"
        return None

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Count pairs of views times sequences times class tokens."""
        tokens = next(iter(teacher.values())).tokens
        return torch.tensor(float(len(_pairs(student, teacher)) * len(tokens) * self.tokens), device=tokens.device)

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the cross-entropy in nats, from the head `logits` [B, C, K], or [B, K] if it reads pooled embeddings.

        Metrics: `teacher_entropy`, the entropy of q in nats, and `teacher_entropy_share`, the same divided by ln K. A share
        of 1 means that the teacher is uniform: collapse. See also `derived_metrics`.
        """
        logits = {name: self._logits(output) for name, output in teacher.items()}
        targets = self._targets(logits, self.config.teacher_temperature(clock))
        log_p = {
            name: (self._logits(output) / self.config.student_temperature).log_softmax(-1) for name, output in student.items()
        }
        # A view is never compared with itself: student and teacher would only have to agree on identical input.
        pairs = _pairs(student, teacher)
        total = -torch.stack([(targets[t] * log_p[s]).sum() for s, t in pairs]).sum()
        # Once per pair, as in the loss: the trainer divides both by `count`, which counts pairs.
        entropy = torch.stack([torch.special.entr(targets[t]).sum() for _, t in pairs]).sum()
        marginal = torch.stack([targets[t].sum(0) for _, t in pairs]).sum(0)
        metrics = {"teacher_entropy": entropy, "teacher_entropy_share": entropy / math.log(marginal.shape[-1])}
        # [B, C, K]: views are averaged here, but not samples, by which the trainer concatenates micro-batches and processes.
        state_inputs = {"logits": torch.stack(list(logits.values())).mean(0).detach()} if self.config.centering == "ema" else {}
        return LossOutput(total, metrics, state_inputs, {"marginal": marginal})

    def derived_metrics(self, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the entropy of the mean of q over sequences, and the information in q, as shares of ln K.

        Both are means over class tokens. The information is 0 if every sequence has the same targets, which the entropy of q
        alone does not show where they are sharp.
        """
        # The count includes the class tokens, over which the totals [C, K] are not summed.
        return information_shares(means["marginal"] * self.tokens, means["teacher_entropy"])

    @torch.no_grad()
    def _targets(self, logits: Mapping[str, Tensor], temperature: float) -> dict[str, Tensor]:
        """Return the teacher's assignments q [B, C, K] of each view."""
        if self.config.centering == "ema":
            # Centring keeps single prototypes from dominating, a low temperature keeps targets from becoming uniform.
            return {name: ((q - self.center) / temperature).softmax(-1) for name, q in logits.items()}
        # All views together, as DINOv2 does, and each class token for itself: [C, views * B, K].
        rows = torch.cat(list(logits.values())).transpose(0, 1)
        codes = sinkhorn(rows, epsilon=temperature, iterations=self.config.sinkhorn_iterations).transpose(0, 1)
        return dict(zip(logits, codes.chunk(len(logits)), strict=True))

    def _logits(self, output: BranchOutput) -> Tensor:
        """Return the logits of one view, [B, C, K]."""
        # In fp32: logits are divided by temperatures as small as 0.01.
        logits = output.heads["logits"].float()
        return logits[:, None] if self.config.reads == "pooled" else logits

    def after_step(self, state_inputs: Mapping[str, Tensor], clock: Clock) -> None:
        """Update the centre, if there is one, with the mean of the teacher's logits over the global batch.

        The first steps use the plain mean of all batches so far. A centre that rose slowly from 0 would leave in the targets
        what all windows have in common, and the student would learn only that constant.
        """
        if self.config.centering == "sinkhorn":
            return
        # At step 0 this is 0, so that nothing remains of the zeros that the centre begins with.
        momentum = min(self.config.center_momentum, clock.step / (clock.step + 1))
        self.center.lerp_(state_inputs["logits"].mean(0), 1 - momentum)


def _pairs(
    student: Mapping[str, object] | Sequence[str], teacher: Mapping[str, object] | Sequence[str]
) -> list[tuple[str, str]]:
    """Return the pairs of a student view and a different teacher view, by name."""
    return [(s, t) for s in student for t in teacher if s != t]

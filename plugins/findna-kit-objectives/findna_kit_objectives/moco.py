"""Momentum contrast (MoCo; He et al. 2020, equation 1): the key of another view against a queue of the teacher's keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit.components import BranchOutput, Clock, ComponentConfig, Loss, LossOutput, Projector, View, ViewPlan
from findna_kit_objectives import pairs, spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class MoCo(Loss):
    """MoCo: `- log exp(q k / t) / (exp(q k / t) + sum_i exp(q k_i / t))` of unit vectors (He 2020).

    q is the student's projection of a view, k the teacher's projection of another view of the same window, and k_i are the keys
    in the queue. The loss is over all pairs of a view of the student and another view of the teacher. Negatives come from the
    queue alone, so the samples of a batch are independent. The queue is empty at first: unfilled slots are ignored, and the
    first step has no negatives. The head is that of MoCo v2 (Chen et al. 2020), without normalisation; `predictor_layers: 2`
    adds the predictor of v3.
    """

    class Config(ComponentConfig):
        """Queue, temperature and head."""

        queue: int = Field(4096, gt=0, description="number of keys in the queue, first in, first out; 65536 in the paper")
        temperature: float = Field(
            0.07, gt=0, description="temperature of the softmax over cosine similarities; 0.2 in MoCo v2"
        )
        layers: int = Field(2, ge=1, description="linear layers of the projector")
        hidden: int = Field(256, gt=0, description="width of the projector and of the predictor")
        output: int = Field(128, gt=0, description="width of the projections")
        predictor_layers: int = Field(0, ge=0, description="linear layers of the student's predictor; 0: no predictor")

    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"queue": 40, "hidden": 12, "output": 6},
        {"queue": 10, "hidden": 12, "output": 6, "predictor_layers": 2},
    )
    head_input = "pooled"
    needs_teacher = True
    config: Config
    queue: Tensor
    received: Tensor

    def __init__(self, config: Config, *, dim: int, class_tokens: int) -> None:
        super().__init__(config, dim=dim, class_tokens=class_tokens)
        self.register_buffer("queue", torch.zeros(config.queue, config.output))
        # The number of keys received so far. The next key goes to this index modulo the size of the queue.
        self.register_buffer("received", torch.zeros((), dtype=torch.int64))

    def twin_heads(self) -> dict[str, nn.Module]:
        """Return the projector; the teacher's copy computes the keys."""
        config = self.config
        return {"projector": Projector(self.dim, config.hidden, config.output, config.layers)}

    def student_heads(self) -> dict[str, nn.Module]:
        """Return the predictor, if there is one."""
        config = self.config
        if config.predictor_layers == 0:
            return {}
        return {"predictor": Projector(config.output, config.hidden, config.output, config.predictor_layers)}

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Require a view of the student and a different view of the teacher."""
        return pairs.teacher_problem(views)

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Return the number of pairs of views times the number of sequences."""
        return pairs.items(teacher, len(pairs.across(student, teacher)))

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the cross-entropy in nats of the head output `projector` (or `predictor`) and the queue.

        Metrics: `accuracy`, the share of queries whose key is nearer than every negative; `negatives`, their number; `spread`
        of the queries around the mean of the queue, 0 at collapse (see `spread.py`).
        """
        queries = spread.unit(student, "predictor" if self.config.predictor_layers else "projector")
        keys = {name: key.detach() for name, key in spread.unit(teacher, "projector").items()}
        # A mask instead of a shorter queue, so that shapes do not change from step to step.
        empty = torch.arange(len(self.queue), device=self.queue.device) >= self.received
        view_pairs, nats, correct = pairs.across(queries, keys), [], []
        for s, t in view_pairs:
            positive = (queries[s] * keys[t]).sum(-1, keepdim=True)
            # -inf removes an empty slot from the softmax.
            negative = (queries[s] @ self.queue.T).masked_fill(empty, -torch.inf)
            logits = torch.cat([positive, negative], 1) / self.config.temperature
            nats.append(F.cross_entropy(logits, torch.zeros_like(logits[:, 0], dtype=torch.int64), reduction="sum"))
            correct.append((logits.argmax(1) == 0).sum())
        filled = (~empty).sum()
        metrics = {
            "accuracy": torch.stack(correct).sum().float(),
            "negatives": filled * float(len(view_pairs) * len(positive)),
            "spread": spread.around(queries, self.queue.sum(0) / filled.clamp(min=1)) * len(view_pairs),
        }
        return LossOutput(torch.stack(nats).sum(), metrics, {"keys": torch.stack(list(keys.values()), dim=1)})

    def after_step(self, state_inputs: Mapping[str, Tensor], clock: Clock) -> None:
        """Replace the oldest keys of the queue by those of the global batch [B, views, output], in order."""
        keys = state_inputs["keys"].flatten(0, 1)
        numbers = torch.arange(len(keys), device=keys.device) + self.received
        # If a batch has more keys than the queue has slots, only the last keys fit.
        last = slice(-len(self.queue), None)
        self.queue[numbers[last] % len(self.queue)] = keys[last]
        self.received += len(keys)

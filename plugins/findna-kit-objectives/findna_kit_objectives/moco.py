"""Momentum contrast (MoCo; He et al. 2020, equation 1): the other view's key against a queue of the teacher's earlier ones."""

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
    """`- log exp(q k / t) / (exp(q k / t) + sum_i exp(q k_i / t))`: q the student's projection of a view, k the teacher's of
    another view of the same window, k_i those in the queue; all of length 1.

    Over all pairs of a student's and another, teacher's view. The negatives are the queue's alone, so sequences of a batch do
    not meet. The queue begins empty: slots that were never filled count for nothing, and the first step has no negatives.
    The head is that of MoCo v2 (Chen et al. 2020), without normalisation; `predictor_layers: 2` adds v3's predictor.
    """

    class Config(ComponentConfig):
        """Queue, temperature and head."""

        queue: int = Field(4096, gt=0, description="keys kept, the oldest leaving first; the paper has 65536")
        temperature: float = Field(0.07, gt=0, description="divides the cosine similarities; 0.2 in MoCo v2")
        layers: int = Field(2, ge=1, description="linear layers of the projector")
        hidden: int = Field(256, gt=0, description="width of the projector and of the predictor")
        output: int = Field(128, gt=0, description="width of the projections")
        predictor_layers: int = Field(0, ge=0, description="linear layers of the student's predictor; 0: none")

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
        self.register_buffer("received", torch.zeros((), dtype=torch.int64))  # keys so far; the next goes to this, modulo slots

    def twin_heads(self) -> dict[str, nn.Module]:
        """The projector; the teacher's copy makes the keys."""
        config = self.config
        return {"projector": Projector(self.dim, config.hidden, config.output, config.layers)}

    def student_heads(self) -> dict[str, nn.Module]:
        """The predictor, where there is one."""
        config = self.config
        if config.predictor_layers == 0:
            return {}
        return {"predictor": Projector(config.output, config.hidden, config.output, config.predictor_layers)}

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """A view of the teacher's beside another one of the student's."""
        return pairs.without_teacher(views)

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Pairs of views, times sequences."""
        return pairs.items(teacher, len(pairs.across(student, teacher)))

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Cross-entropy in nats over heads' `projector` (or `predictor`) and the queue.

        Metrics: how often the right key is nearer than every negative; the negatives there are; and `spread` of the queries
        around the queue's mean, 0 at collapse (`spread.py`).
        """
        queries = spread.unit(student, "predictor" if self.config.predictor_layers else "projector")
        keys = {name: key.detach() for name, key in spread.unit(teacher, "projector").items()}
        empty = torch.arange(len(self.queue), device=self.queue.device) >= self.received
        both, nats, correct = pairs.across(queries, keys), [], []
        for s, t in both:
            positive = (queries[s] * keys[t]).sum(-1, keepdim=True)
            negative = (queries[s] @ self.queue.T).masked_fill(empty, -torch.inf)
            logits = torch.cat([positive, negative], 1) / self.config.temperature
            nats.append(F.cross_entropy(logits, torch.zeros_like(logits[:, 0], dtype=torch.int64), reduction="sum"))
            correct.append((logits.argmax(1) == 0).sum())
        filled = (~empty).sum()
        metrics = {
            "accuracy": torch.stack(correct).sum().float(),
            "negatives": filled * float(len(both) * len(positive)),
            "spread": spread.around(queries, self.queue.sum(0) / filled.clamp(min=1)) * len(both),
        }
        return LossOutput(torch.stack(nats).sum(), metrics, {"keys": torch.stack(list(keys.values()), dim=1)})

    def after_step(self, state_inputs: Mapping[str, Tensor], clock: Clock) -> None:
        """Puts the global batch's keys [B, views, output] in the place of the oldest ones, in order."""
        keys = state_inputs["keys"].flatten(0, 1)
        at = torch.arange(len(keys), device=keys.device) + self.received
        kept = slice(-len(self.queue), None)  # of more keys than slots the last
        self.queue[at[kept] % len(self.queue)] = keys[kept]
        self.received += len(keys)

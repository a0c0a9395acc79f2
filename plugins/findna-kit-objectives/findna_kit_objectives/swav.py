"""SwAV: swapped prediction of balanced cluster assignments between views (Caron et al. 2020, equations 2 to 6)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from findna_kit.components import BranchOutput, Clock, Loss, LossOutput, ScheduleValue, View, ViewPlan
from findna_kit_objectives import pairs
from findna_kit_objectives.prototypes import PrototypeConfig, prototype_head, prototype_rates
from findna_kit_objectives.sinkhorn import sinkhorn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn


class SwAV(Loss):
    """`- sum_k q_k log p_k`: p = softmax(cosines / temperature) of one view, q the Sinkhorn code of another (equation 2).

    Codes are made of the student's whole views, those of the greatest length, each view's on its own over the global batch;
    every view, short crops included, predicts those of the others (equation 6). Codes get no gradient; there is no teacher.

    queue: so many rows of the last batches join those that are shared out, once there are as many. The paper keeps the
    projections and compares them with today's prototypes; a loss does not hold its heads, so here the cosines are kept as they
    were. One queue serves all whole views.
    """

    class Config(PrototypeConfig):
        """Temperature, codes, queue and head."""

        temperature: float = Field(0.1, gt=0, description="divides the cosines that predict")
        epsilon: float = Field(0.05, gt=0, description="divides the cosines that become codes: how soft the codes are")
        sinkhorn_iterations: int = Field(3, ge=0, description="of Sinkhorn-Knopp; 0: codes are not balanced (collapses)")
        queue: int = Field(0, ge=0, description="rows of past batches that codes are balanced over as well")
        layers: int = Field(2, ge=1, description="linear layers of the projector")
        norm: Literal["none", "batch"] = Field("batch", description="between the projector's layers; the paper's is batch")

    head_input = "pooled"
    coupling = "batch"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = tuple(
        {"hidden": 12, "bottleneck": 6, "prototypes": 8, **more} for more in ({}, {"queue": 6, "norm": "none"})
    )
    config: Config
    queue: Tensor
    queued: Tensor

    def __init__(self, config: Config, *, dim: int, class_tokens: int) -> None:
        super().__init__(config, dim=dim, class_tokens=class_tokens)
        if config.queue:
            self.register_buffer("queue", torch.zeros(config.queue, config.prototypes))
            self.register_buffer("queued", torch.zeros((), dtype=torch.int64))

    def twin_heads(self) -> dict[str, nn.Module]:
        """The projector and the prototypes; the last output is `logits`, cosines."""
        return prototype_head(self.dim, self.config, norm=self.config.norm)

    def head_learning_rates(self) -> dict[str, ScheduleValue]:
        """Of the prototypes, where the recipe states one."""
        return prototype_rates(self.config)

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Two views of the student's."""
        return pairs.alone(views)

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Sequences, times pairs of a view and another, whole one."""
        return pairs.items(student, len(_swaps(student)))

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """In nats, over heads' `logits` [B, K].

        Metrics, as shares of ln K: the entropy of the codes; and the information of p, the entropy of its mean over the batch
        less its mean entropy, which is 0 where every sequence is assigned alike: collapse.
        """
        cosines = {name: output.heads["logits"].float() for name, output in student.items()}
        log_p = {name: (one / self.config.temperature).log_softmax(-1) for name, one in cosines.items()}
        views = {name: output.view for name, output in student.items()}
        codes, swaps = {name: self._codes(cosines[name].detach()) for name in _whole(views)}, _swaps(views)
        total = -torch.stack([(codes[whole] * log_p[view]).sum() for view, whole in swaps]).sum()
        share = 1 / math.log(self.config.prototypes)
        entropy = torch.stack([torch.special.entr(codes[whole]).sum() for _, whole in swaps]).sum()
        information = torch.stack([_information(log_p[view].detach().exp()) for view, _ in swaps]).sum()
        metrics = {"code_entropy_share": entropy * share, "assignment_information": information * share}
        return LossOutput(total, metrics, self._carry(cosines, list(codes)))

    def after_step(self, state_inputs: Mapping[str, Tensor], clock: Clock) -> None:
        """The whole views' rows come into the queue, and as many of the oldest leave it."""
        if self.config.queue:
            rows = state_inputs["cosines"].flatten(0, 1)[-self.config.queue :]
            self.queue.copy_(torch.cat([self.queue, rows])[len(rows) :])
            self.queued.add_(len(rows))

    def _codes(self, cosines: Tensor) -> Tensor:
        rows = cosines
        if self.config.queue and int(self.queued) >= self.config.queue:
            rows = torch.cat([cosines, self.queue])
        codes = sinkhorn(rows, epsilon=self.config.epsilon, iterations=self.config.sinkhorn_iterations)
        return codes[: len(cosines)]

    def _carry(self, cosines: Mapping[str, Tensor], whole: Sequence[str]) -> dict[str, Tensor]:
        if not self.config.queue:
            return {}
        return {"cosines": torch.stack([cosines[name].detach() for name in whole], dim=1)}


def _whole(student: Mapping[str, View]) -> list[str]:
    """Views of the greatest length that the student's have."""
    lengths = {name: view.tokens.shape[1] for name, view in student.items()}
    return [name for name, length in lengths.items() if length == max(lengths.values())]


def _swaps(student: Mapping[str, View]) -> list[tuple[str, str]]:
    """Every view, and another one that is whole."""
    codes = _whole(student)
    return [(view, whole) for view, whole in pairs.ordered(student) if whole in codes]


def _information(p: Tensor) -> Tensor:
    """`B (H(mean p) - mean H(p))` of [B, K]: the mutual information of sequence and prototype in nats, times sequences."""
    information: Tensor = len(p) * torch.special.entr(p.mean(0)).sum() - torch.special.entr(p).sum()
    return information

"""SwAV: swapped prediction of balanced cluster assignments between views (Caron et al. 2020, equations 2 to 6)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from findna_kit.components import BranchOutput, Clock, Loss, LossOutput, ScheduleFunction, View, ViewPlan, sinkhorn
from findna_kit_objectives import pairs
from findna_kit_objectives.prototypes import PrototypeConfig, frozen_prototypes, prototype_head, prototype_rates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn


class SwAV(Loss):
    """SwAV: cross-entropy `- sum_k q_k log p_k` of one view's assignment against another view's code (Caron 2020).

    p = softmax(cosines / temperature), and q is the Sinkhorn code (equation 2). Codes are computed from the student's long
    views, those of maximum length, for each view separately over the global batch. Every view, including short crops, predicts
    the codes of the others (equation 6). Codes have no gradient; there is no teacher.

    queue: once enough samples of past batches are available, this many of them are balanced together with the batch. The paper
    stores projections and compares them with the current prototypes; a loss has no access to its heads, so here the cosines are
    stored. All long views share one queue.
    """

    class Config(PrototypeConfig):
        """Temperature, codes, queue and head."""

        temperature: float = Field(0.1, gt=0, description="temperature of the predicted assignments")
        epsilon: float = Field(0.05, gt=0, description="temperature of the codes: a larger one makes them softer")
        sinkhorn_iterations: int = Field(
            3, ge=0, description="iterations of Sinkhorn-Knopp; 0: codes are not balanced (collapses)"
        )
        queue: int = Field(0, ge=0, description="number of samples of past batches to balance the codes over as well")
        layers: int = Field(2, ge=1, description="linear layers of the projector")
        norm: Literal["none", "batch"] = Field(
            "batch", description="normalisation between the projector's layers; batch in the paper"
        )

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
        """Return the projector and the prototypes; the output of the latter is `logits`, which are cosines."""
        return prototype_head(self.dim, self.config, norm=self.config.norm)

    def head_learning_rates(self) -> dict[str, ScheduleFunction]:
        """Return the learning rate of the prototypes, if the recipe sets one."""
        return prototype_rates(self.config)

    def frozen_heads(self, clock: Clock) -> tuple[str, ...]:
        """Return `logits`, the prototypes, while they are frozen."""
        return frozen_prototypes(self.config, clock)

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Require two views that the student sees."""
        return pairs.student_problem(views)

    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Return the number of sequences times pairs of a view and another, long view."""
        return pairs.items(student, len(_swaps(student)))

    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Return the cross-entropy in nats of the head output `logits` [B, K].

        Metrics, as shares of ln K: the entropy of the codes, and the information in p (the entropy of its mean over the batch
        minus its mean entropy). The information is 0 if all sequences have the same assignment: a collapse.
        """
        cosines = {name: output.heads["logits"].float() for name, output in student.items()}
        log_p = {name: (values / self.config.temperature).log_softmax(-1) for name, values in cosines.items()}
        views = {name: output.view for name, output in student.items()}
        # Codes are targets: without `detach` the network could change them to fit its predictions.
        codes, swaps = {name: self._codes(cosines[name].detach()) for name in _long_views(views)}, _swaps(views)
        total = -torch.stack([(codes[target] * log_p[view]).sum() for view, target in swaps]).sum()
        share = 1 / math.log(self.config.prototypes)
        entropy = torch.stack([torch.special.entr(codes[target]).sum() for _, target in swaps]).sum()
        information = torch.stack([_information(log_p[view].detach().exp()) for view, _ in swaps]).sum()
        metrics = {"code_entropy_share": entropy * share, "assignment_information": information * share}
        return LossOutput(total, metrics, self._state_inputs(cosines, list(codes)))

    def after_step(self, state_inputs: Mapping[str, Tensor], clock: Clock) -> None:
        """Add the cosines of the long views to the queue, and remove as many of the oldest."""
        if self.config.queue:
            rows = state_inputs["cosines"].flatten(0, 1)[-self.config.queue :]
            self.queue.copy_(torch.cat([self.queue, rows])[len(rows) :])
            self.queued.add_(len(rows))

    def _codes(self, cosines: Tensor) -> Tensor:
        """Return the codes of a view's cosines [B, K], balanced together with the queue once it is full."""
        # The queue only helps to balance; codes of queued samples are dropped again.
        rows = cosines
        if self.config.queue and int(self.queued) >= self.config.queue:
            rows = torch.cat([cosines, self.queue])
        codes = sinkhorn(rows, epsilon=self.config.epsilon, iterations=self.config.sinkhorn_iterations)
        return codes[: len(cosines)]

    def _state_inputs(self, cosines: Mapping[str, Tensor], long_views: Sequence[str]) -> dict[str, Tensor]:
        if not self.config.queue:
            return {}
        return {"cosines": torch.stack([cosines[name].detach() for name in long_views], dim=1)}


def _long_views(student: Mapping[str, View]) -> list[str]:
    """Return the student's views of maximum length."""
    lengths = {name: view.tokens.shape[1] for name, view in student.items()}
    return [name for name, length in lengths.items() if length == max(lengths.values())]


def _swaps(student: Mapping[str, View]) -> list[tuple[str, str]]:
    """Return the pairs of a view that predicts and another, long view that is predicted."""
    targets = _long_views(student)
    return [(view, target) for view, target in pairs.ordered(student) if target in targets]


def _information(p: Tensor) -> Tensor:
    """Return `B (H(mean p) - mean H(p))` of p [B, K]: B times the mutual information of sequence and prototype, in nats."""
    information: Tensor = len(p) * torch.special.entr(p.mean(0)).sum() - torch.special.entr(p).sum()
    return information

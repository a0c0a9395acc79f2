"""Lion: the sign of an interpolated momentum (Chen et al. 2023, arXiv 2302.06675, algorithm 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import Field

from findna_kit.components import Constant, Cosine, Optimizer, OptimizerConfig, ParameterGroup, Schedule, torch_groups, within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn


class Lion(Optimizer):
    """Lion: steps by the sign of an interpolated momentum (Chen et al. 2023). It has half of the state of AdamW.

    The authors advise a learning rate 3 to 10 times smaller, and a decay 3 to 10 times larger, than AdamW's.
    """

    class Config(OptimizerConfig):
        """Rate, decay and the two interpolations."""

        learning_rate: Annotated[Schedule, within(0)] = Field(
            Cosine(start=1e-4, end=0.0, warmup=0.3), description="learning rate: the distance that every entry moves per step"
        )
        weight_decay: Annotated[Schedule, within(0)] = Field(Constant(value=1e-3), description="decoupled decay of matrices")
        beta1: float = Field(0.9, ge=0, lt=1, description="share of the momentum in the direction of the step")
        beta2: float = Field(0.99, ge=0, lt=1, description="share of the old momentum kept per step")

    examples = ({}, {"learning_rate": 0.001, "beta1": 0.5, "beta2": 0.9})

    def build(self, groups: Sequence[ParameterGroup]) -> list[tuple[torch.optim.Optimizer, list[ParameterGroup]]]:
        """Return one optimizer for all groups."""
        return [(_Lion(torch_groups(groups), self.config.beta1, self.config.beta2), list(groups))]

    def initial_state(self, parameter: nn.Parameter, group: ParameterGroup) -> dict[str, Tensor]:
        """Return a momentum of zero."""
        return {"exp_avg": torch.zeros_like(parameter)}


class _Lion(torch.optim.Optimizer):
    """The algorithm as an optimizer of torch."""

    def __init__(self, groups: list[dict[str, Any]], beta1: float, beta2: float) -> None:
        super().__init__(groups, {"lr": 0.0, "weight_decay": 0.0})
        self._beta1, self._beta2 = beta1, beta2

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                # Created at the first step, as the optimizers of torch do; a restored checkpoint has filled it already.
                if not state:
                    state["exp_avg"] = torch.zeros_like(parameter)
                momentum, gradient = state["exp_avg"], parameter.grad
                # Two interpolations with the same gradient (algorithm 2): beta1 for the direction of this step, beta2 for the
                # momentum that is kept. By default the gradient has ten times the weight in the direction that it has there.
                direction = momentum.lerp(gradient, 1 - self._beta1).sign_()
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-group["lr"])
                momentum.lerp_(gradient, 1 - self._beta2)

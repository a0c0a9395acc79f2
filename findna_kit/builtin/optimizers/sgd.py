"""Stochastic gradient descent with momentum (Polyak 1964; Sutskever et al. 2013)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

import torch
from pydantic import Field, model_validator

from findna_kit.components import Constant, Cosine, Optimizer, OptimizerConfig, ParameterGroup, Schedule, torch_groups, within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn


class SGD(Optimizer):
    """Stochastic gradient descent with momentum: `m <- momentum m + gradient`, `parameter <- parameter - rate m`."""

    class Config(OptimizerConfig):
        """Rate, penalty and momentum."""

        learning_rate: Annotated[Schedule, within(0)] = Field(
            Cosine(start=0.03, end=0.0, warmup=0.1), description="per step; larger than an adaptive optimizer's"
        )
        weight_decay: Annotated[Schedule, within(0)] = Field(
            Constant(value=1e-4), description="L2 penalty of matrices, which is added to the gradient"
        )
        momentum: float = Field(0.9, ge=0, lt=1, description="share of the old momentum kept per step; 0: none")
        nesterov: bool = Field(False, description="Nesterov momentum: the gradient is extrapolated by one step of the momentum")

        @model_validator(mode="after")
        def _nesterov_has_momentum(self) -> Self:
            if self.nesterov and self.momentum == 0:
                raise ValueError("nesterov needs a momentum greater than 0")
            return self

    examples = ({}, {"nesterov": True, "momentum": 0.5}, {"momentum": 0, "learning_rate": 0.1})

    def build(self, groups: Sequence[ParameterGroup]) -> list[tuple[torch.optim.Optimizer, list[ParameterGroup]]]:
        """Return torch's SGD."""
        momentum, nesterov = self.config.momentum, self.config.nesterov
        return [(torch.optim.SGD(torch_groups(groups), lr=0.0, momentum=momentum, nesterov=nesterov), list(groups))]

    def initial_state(self, parameter: nn.Parameter, group: ParameterGroup) -> dict[str, Tensor]:
        """Return a momentum of zero; without momentum there is no state."""
        # A zero momentum gives the same first step as none: m <- momentum 0 + gradient.
        return {"momentum_buffer": torch.zeros_like(parameter)} if self.config.momentum else {}

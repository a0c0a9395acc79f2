"""AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from findna_kit.components import Optimizer, OptimizerConfig, ParameterGroup, torch_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn


class AdamW(Optimizer):
    """AdamW: Adam with decoupled weight decay of matrices; biases, norms and other vectors do not decay (Loshchilov 2019)."""

    class Config(OptimizerConfig):
        """Decay of the two moments."""

        beta1: float = Field(0.9, ge=0, lt=1, description="decay of the first moment")
        beta2: float = Field(0.999, ge=0, lt=1, description="decay of the second moment")

    examples = ({}, {"learning_rate": 0.01, "beta1": 0.5, "beta2": 0.9})

    def build(self, groups: Sequence[ParameterGroup]) -> list[tuple[torch.optim.Optimizer, list[ParameterGroup]]]:
        """Return torch's AdamW, with the fused kernel."""
        betas = (self.config.beta1, self.config.beta2)
        # Fused: one pass over the parameters instead of one for each term of the formula.
        # The trainer sets the learning rate and the decay of each group before every step, so the zeros are never used.
        adamw = torch.optim.AdamW(torch_groups(groups), lr=0.0, betas=betas, weight_decay=0.0, fused=True)
        return [(adamw, list(groups))]

    def initial_state(self, parameter: nn.Parameter, group: ParameterGroup) -> dict[str, Tensor]:
        """Return the step and two moments of zero."""
        step = torch.zeros((), device=parameter.device)  # on the device, where the fused kernel reads it
        return {"step": step, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}

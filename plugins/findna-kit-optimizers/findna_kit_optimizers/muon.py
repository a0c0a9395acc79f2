"""Muon: momentum orthogonalised by Newton-Schulz iterations (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from findna_kit.components import Optimizer, OptimizerConfig, ParameterGroup, torch_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn


class Muon(Optimizer):
    """Muon for the two-dimensional weights of the encoder, AdamW for everything else (Jordan et al. 2024).

    Vectors, convolution kernels and all heads are left to AdamW, as the authors advise for everything but hidden layers. An
    orthogonalised step is scaled by `0.2 sqrt(max(rows, columns))` (Liu et al. 2025, arXiv 2502.16982): its entries are then as
    large as AdamW's, so that one learning rate and one decay serve both.
    """

    class Config(OptimizerConfig):
        """Momentum and iterations of Muon; moments of AdamW."""

        momentum: float = Field(0.95, ge=0, lt=1, description="share of the old momentum kept per step, in Muon")
        nesterov: bool = Field(True, description="Nesterov's momentum, in Muon")
        iterations: int = Field(5, ge=1, lt=100, description="Newton-Schulz iterations of a step")
        beta1: float = Field(0.9, ge=0, lt=1, description="decay of the first moment, in AdamW")
        beta2: float = Field(0.999, ge=0, lt=1, description="decay of the second moment, in AdamW")

    examples = ({}, {"learning_rate": 0.01, "momentum": 0.5, "nesterov": False, "iterations": 3})
    config: Config

    def build(self, groups: Sequence[ParameterGroup]) -> list[tuple[torch.optim.Optimizer, list[ParameterGroup]]]:
        """Return torch's Muon over hidden matrices and torch's AdamW over the rest, each where it has parameters."""
        config, hidden = self.config, [group for group in groups if _is_hidden(group)]
        rest = [group for group in groups if not _is_hidden(group)]
        built: list[tuple[torch.optim.Optimizer, list[ParameterGroup]]] = []
        if hidden:
            # Learning rate and decay are 0 here, because the trainer sets both from the schedules before each step.
            muon = torch.optim.Muon(
                torch_groups(hidden), lr=0.0, weight_decay=0.0, momentum=config.momentum, nesterov=config.nesterov,
                ns_steps=config.iterations, adjust_lr_fn="match_rms_adamw",
            )  # fmt: skip
            built.append((muon, hidden))
        if rest:
            betas = (config.beta1, config.beta2)
            built.append((torch.optim.AdamW(torch_groups(rest), lr=0.0, betas=betas, weight_decay=0.0, fused=True), rest))
        return built

    def initial_state(self, parameter: nn.Parameter, group: ParameterGroup) -> dict[str, Tensor]:
        """Return Muon's momentum for a hidden matrix, AdamW's step and moments for any other parameter."""
        if _is_hidden(group):
            return {"momentum_buffer": torch.zeros_like(parameter)}
        step = torch.zeros((), device=parameter.device)  # on the device, where the fused kernel reads it
        return {"step": step, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}


def _is_hidden(group: ParameterGroup) -> bool:
    """Return whether Muon moves the group: matrices with exactly two dimensions that belong to no head."""
    return group.dimensions == 2 and not group.head

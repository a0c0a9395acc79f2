"""Sums of losses and metrics over micro-batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from findna_kit.components.interfaces import LossOutput
    from findna_kit.metrics.names import LossMetricName

EPS = 1e-6
"""Lower bound of the item count that divides a sum: there may be no item, and weighted positions can sum to less than 1."""


@dataclass
class LossSums:
    """Accumulates loss outputs over micro-batches.

    values: the sum of each loss (`loss`) and of its metrics, by label and name. Divide them by the loss's item count.
    """

    values: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    _state_inputs: dict[str, list[Mapping[str, Tensor]]] = field(default_factory=dict)

    def add(self, label: str, output: LossOutput) -> None:
        """Add the output of another micro-batch."""
        sums = self.values.setdefault(label, {})
        for name, value in {"loss": output.sum.detach(), **output.metrics}.items():
            # fp32, since a sum over many micro-batches in bf16 would lose its low bits.
            sums[name] = sums[name] + value.float() if name in sums else value.float()
        if output.state_inputs:
            self._state_inputs.setdefault(label, []).append(output.state_inputs)

    def state_inputs(self, label: str) -> dict[str, Tensor]:
        """Return the inputs of one loss's `after_step`, concatenated over the micro-batches."""
        parts = self._state_inputs.get(label, [])
        return {name: torch.cat([part[name] for part in parts]) for name in (parts[0] if parts else ())}

    def means(self, counts: Mapping[str, Tensor], name_of: LossMetricName) -> dict[str, float]:
        """Return every sum divided by its loss's item count, by metric name, which `name_of(label, name)` gives."""
        return {
            name_of(label, name): float(value / counts[label].clamp(min=EPS))
            for label, sums in self.values.items()
            for name, value in sums.items()
        }

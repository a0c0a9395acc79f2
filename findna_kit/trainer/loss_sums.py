"""Sums of losses and metrics over micro-batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from findna_kit.components.interfaces import Loss, LossOutput

EPS = 1e-6
"""Lower bound of the item count that divides a sum: there may be no item, and weighted positions can sum to less than 1."""


@dataclass
class LossSums:
    """Accumulates loss outputs over micro-batches.

    values: the sum of each loss (`loss`) and of its metrics, by label and name. Divide them by the loss's item count. totals:
    the same of what `Loss.derived_metrics` gets beside them.
    """

    values: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    totals: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    _state_inputs: dict[str, list[Mapping[str, Tensor]]] = field(default_factory=dict)

    def add(self, label: str, output: LossOutput) -> None:
        """Add the output of another micro-batch."""
        _add(self.values.setdefault(label, {}), {"loss": output.sum.detach(), **output.metrics})
        _add(self.totals.setdefault(label, {}), output.totals)
        if output.state_inputs:
            self._state_inputs.setdefault(label, []).append(output.state_inputs)

    def state_inputs(self, label: str) -> dict[str, Tensor]:
        """Return the inputs of one loss's `after_step`, concatenated over the micro-batches."""
        parts = self._state_inputs.get(label, [])
        return {name: torch.cat([part[name] for part in parts]) for name in (parts[0] if parts else ())}

    def metrics(
        self, label: str, loss: Loss, count: Tensor, reduce: Callable[[Tensor], Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return the mean of a loss and of its metrics over `count` items, and the metrics derived from them.

        reduce: sums a tensor over the processes; None if the sums are already those of the global batch.
        """
        sums = {**self.values[label], **self.totals[label]}
        means = {name: (reduce(value) if reduce else value) / count.clamp(min=EPS) for name, value in sums.items()}
        return {**{name: means[name] for name in self.values[label]}, **loss.derived_metrics(means)}


def _add(sums: dict[str, Tensor], more: Mapping[str, Tensor]) -> None:
    """Add tensors to `sums` by name, in place."""
    for name, value in more.items():
        # fp32, since a sum over many micro-batches in bf16 would lose its low bits.
        sums[name] = sums[name] + value.float() if name in sums else value.float()

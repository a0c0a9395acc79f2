"""Batch-coupled losses over micro-batches by gradient caching (Gao et al. 2021, GradCache)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from findna_kit.components.interfaces import BranchOutput
from findna_kit.trainer.forward import dropout_seed
from findna_kit.trainer.loss_sums import EPS

if TYPE_CHECKING:
    from torch import Tensor

    from findna_kit.schedules import Clock
    from findna_kit.trainer.forward import Batch, Forward, Outputs
    from findna_kit.trainer.loss_sums import LossSums

ViewTensors = dict[tuple[str, str], list["Tensor"]]
"""Tensors of micro-batches, by the label of a loss and the name of a view."""


class GradientCache:
    """Computes batch-coupled losses once on the embeddings of the whole global batch.

    A first pass without gradient caches the inputs of the losses' heads, micro-batch by micro-batch. `backward` computes the
    losses on all of them, and their gradients at these inputs. A second pass forwards each micro-batch again, and feeds the
    cached gradients into the encoder. So memory is bounded by a micro-batch, but the loss sees every sample.
    """

    def __init__(self, forward: Forward, clock: Clock) -> None:
        self.forward, self.clock = forward, clock
        self.labels = forward.labels("batch")
        self.student: ViewTensors = {}
        self.teacher: ViewTensors = {}
        self.gradients: dict[tuple[str, str], Tensor] = {}

    def add(self, student: Outputs, teacher: Outputs) -> None:
        """Cache the head inputs of one micro-batch."""
        for label in self.labels:
            needs_teacher = self.forward.experiment.losses[label].loss.needs_teacher
            for cache, outputs in ((self.student, student), (self.teacher, teacher if needs_teacher else {})):
                for name, inputs in self.forward.head_inputs(label, outputs).items():
                    cache.setdefault((label, name), []).append(inputs.detach())

    def backward(self, batch: Batch, sums: LossSums) -> dict[str, Tensor]:
        """Compute the losses, add the gradients of their heads, and cache the gradients at the heads' inputs.

        batch: the views of the whole global batch. Returns the losses' item counts.
        """
        counts = self.forward.counts(batch, self.labels)
        # The loss receives views and head inputs only: embeddings of the whole batch would not fit into memory.
        outputs = {name: BranchOutput(view) for name, view in batch.views.items()}
        for label in self.labels:
            self._backward_one(label, outputs, counts[label], sums)
        return counts

    def _backward_one(self, label: str, outputs: Outputs, count: Tensor, sums: LossSums) -> None:
        experiment, engine = self.forward.experiment, self.forward.engine
        leaves = self._global(self.student, label)
        # Leaves of a new graph, which ends at the heads' inputs and does not contain the encoder.
        for leaf in leaves.values():
            leaf.requires_grad_(True)
        inputs = (leaves, self._global(self.teacher, label))
        # Every process computes the loss on the same global batch, so dropout must be the same in all of them.
        with dropout_seed(experiment, engine, self.clock, f"heads of {label}", shared=True):
            output = self.forward.loss_output(label, outputs, outputs, self.clock, inputs=inputs)
        sums.add(label, output)
        weight = experiment.losses[label].weight(self.clock) / count.clamp(min=EPS)
        chains = (experiment.student.heads[label], experiment.predictors[label])
        # A loss may freeze parameters of its heads; autograd.grad refuses them.
        parameters = [parameter for chain in chains for parameter in chain.parameters() if parameter.requires_grad]
        targets = [*leaves.values(), *parameters]
        # Unused: a head whose output the loss ignores, or a view that enters no item.
        gradients = torch.autograd.grad(weight * output.sum, targets, allow_unused=True)
        # Not strict, because the gradients of the parameters follow those of the leaves. The latter are not divided by the
        # world size: each process feeds only those of its own samples into its encoder, and the sum over processes is complete.
        for (name, leaf), gradient in zip(leaves.items(), gradients, strict=False):
            self.gradients[label, name] = torch.zeros_like(leaf) if gradient is None else gradient
        for parameter, gradient in zip(parameters, gradients[len(leaves) :], strict=True):
            if gradient is not None:
                # Every process computes the whole loss, and gradients are summed over processes: each gives an equal share.
                share = gradient / engine.world_size
                parameter.grad = share if parameter.grad is None else parameter.grad + share

    def inputs_with_gradients(self, student: Outputs, part: slice) -> tuple[list[Tensor], list[Tensor | None]]:
        """Return the head inputs of a micro-batch in the second pass, and their cached gradients, for `autograd.backward`."""
        # The cached gradients cover the global batch, in its order; `part` is a slice of this process's share of it.
        local = self.forward.engine.local_indices(self.forward.experiment.batch_size)[part]
        tensors: list[Tensor] = []
        gradients: list[Tensor | None] = []
        for label in self.labels:
            for name, inputs in self.forward.head_inputs(label, student).items():
                tensors.append(inputs)
                gradients.append(self.gradients[label, name][local].to(inputs.dtype))
        return tensors, gradients

    def _global(self, cache: ViewTensors, label: str) -> dict[str, Tensor]:
        """Return a loss's cached inputs of the whole global batch, by view name."""
        return {name: self.forward.engine.gather(torch.cat(parts)) for (owner, name), parts in cache.items() if owner == label}

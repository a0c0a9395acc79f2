"""Selection and detachment of the branch outputs that a loss receives, and comparison of gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from findna_kit.components.interfaces import BranchOutput
from findna_kit.testing.checks import differing_tensors, largest_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

ROUNDING = 1e-4
SHARE = 0.03
"""Smallest scale of a gradient, as a share of the largest one. A smaller gradient may consist of rounding alone."""


def select_rows(outputs: Mapping[str, BranchOutput], part: slice) -> dict[str, BranchOutput]:
    """Return the outputs for some samples of the batch."""

    def select(value: Any) -> Any:
        return None if value is None else value[part]

    return {
        name: BranchOutput(
            view=output.view.select(part), embeddings=select(output.embeddings),
            class_embeddings=select(output.class_embeddings), pooled=select(output.pooled),
            hidden={layer: state[part] for layer, state in output.hidden.items()}, rows=select(output.rows),
            heads={head: value[part] for head, value in output.heads.items()},
        )
        for name, output in outputs.items()
    }  # fmt: skip


def detached_leaves(outputs: Mapping[str, BranchOutput], leaves: list[tuple[Tensor, Tensor]]) -> dict[str, BranchOutput]:
    """Return the outputs with every tensor replaced by a detached leaf that requires a gradient.

    Each leaf is appended to `leaves` together with a copy, to detect changes in place.
    """

    # Leaves, so that `backward` stops here and leaves a gradient for each output of a branch.
    def detach(value: Tensor) -> Tensor:
        leaf = value.detach().clone().requires_grad_()
        leaves.append((leaf, leaf.detach().clone()))
        return leaf

    def detach_optional(value: Tensor | None) -> Tensor | None:
        return None if value is None else detach(value)

    return {
        name: replace(
            output, embeddings=detach_optional(output.embeddings), class_embeddings=detach_optional(output.class_embeddings),
            pooled=detach_optional(output.pooled), rows=detach_optional(output.rows),
            hidden={layer: detach(state) for layer, state in output.hidden.items()},
            heads={head: detach(value) for head, value in output.heads.items()},
        )
        for name, output in outputs.items()
    }  # fmt: skip


def differing_gradients(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Return the gradients that differ by more than rounding, each with the ratio of the norms."""
    # Relative to the largest gradient of the whole model, not of one parameter.
    scale = SHARE * largest_number(expected.values())
    labelled = [{f"the gradient of {name}": tensor for name, tensor in tensors.items()} for tensors in (actual, expected)]
    return differing_tensors(labelled[0], labelled[1], dict.fromkeys(labelled[1], scale), ROUNDING)

"""What a loss is given, in parts or cut off from what made it; and gradients, compared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from findna_kit.components.interfaces import BranchOutput
from findna_kit.testing.checks import relative_difference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

ROUNDING = 1e-4
SHARE = 0.03
"""Of the largest gradient: a smaller one may be zero but for rounding (a bias before a normalisation)."""


def select_rows(outputs: Mapping[str, BranchOutput], part: slice) -> dict[str, BranchOutput]:
    """The outputs on some rows of the batch."""

    def cut(value: Any) -> Any:
        return None if value is None else value[part]

    return {
        name: BranchOutput(
            view=one.view.select(part), embeddings=cut(one.embeddings), class_embeddings=cut(one.class_embeddings),
            pooled=cut(one.pooled), hidden={layer: state[part] for layer, state in one.hidden.items()}, rows=cut(one.rows),
            heads={head: made[part] for head, made in one.heads.items()},
        )
        for name, one in outputs.items()
    }  # fmt: skip


def detached_leaves(outputs: Mapping[str, BranchOutput], kept: list[tuple[Tensor, Tensor]]) -> dict[str, BranchOutput]:
    """The outputs with every tensor cut off and asking for a gradient; each is kept beside a copy."""

    def cut_off(value: Tensor) -> Tensor:
        made = value.detach().clone().requires_grad_()
        kept.append((made, made.detach().clone()))
        return made

    def leaf(value: Tensor | None) -> Tensor | None:
        return None if value is None else cut_off(value)

    return {
        name: replace(
            one, embeddings=leaf(one.embeddings), class_embeddings=leaf(one.class_embeddings), pooled=leaf(one.pooled),
            rows=leaf(one.rows), hidden={layer: cut_off(state) for layer, state in one.hidden.items()},
            heads={head: cut_off(made) for head, made in one.heads.items()},
        )
        for name, one in outputs.items()
    }  # fmt: skip


def differing_gradients(got: Mapping[str, Tensor], wanted: Mapping[str, Tensor], tolerance: float = ROUNDING) -> list[str]:
    """Gradients that are not the same to rounding, with the factor where there is one."""
    largest = max((float(one.abs().max()) for one in wanted.values()), default=0.0)
    found = [f"the gradient of {name} is there in one case only" for name in sorted(got.keys() ^ wanted.keys())]
    for name in sorted(got.keys() & wanted.keys()):
        scale = max(float(wanted[name].abs().max()), SHARE * largest)
        if not relative_difference(got[name], wanted[name], scale) <= tolerance:
            norm = float(got[name].norm() / wanted[name].norm().clamp(min=1e-30))
            found.append(f"the gradient of {name} ({norm:.3g} times as large)")
    return found

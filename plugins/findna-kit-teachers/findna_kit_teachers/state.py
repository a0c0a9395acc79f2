"""Validation of the saved state of a teacher update."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


def exact_state(component: str, state: Mapping[str, Tensor], names: tuple[str, ...]) -> list[Tensor]:
    """Return the tensors with these names. Raise ValueError if a name is missing or there are others."""
    if set(state) != set(names):
        raise ValueError(f"the state of {component} must contain {', '.join(names)}, but contains {sorted(state)}")
    return [state[name] for name in names]

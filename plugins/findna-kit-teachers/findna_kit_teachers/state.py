"""Taking back what a rule kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


def whole_state(rule: str, state: Mapping[str, Tensor], names: tuple[str, ...]) -> list[Tensor]:
    """The tensors of these names. Raises ValueError where others are there, or one of them is not."""
    if set(state) != set(names):
        raise ValueError(f"{rule} keeps {', '.join(names)}, but was given {sorted(state)}")
    return [state[name] for name in names]

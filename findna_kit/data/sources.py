"""The interface between a source of windows and the trainer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from findna_kit.components.views import View


class Windows(Protocol):
    """A source of windows, as a pure function of the step and of indices in the global batch."""

    def draw(self, step: int, rows: Tensor) -> View:
        """Return the windows with indices `rows` [B] of the global batch of `step`."""
        ...

    def fixed(self, count: int) -> View:
        """Return the same `count` windows at every call."""
        ...


@dataclass(frozen=True)
class Data:
    """Training and validation windows."""

    training: Windows
    validation: Windows

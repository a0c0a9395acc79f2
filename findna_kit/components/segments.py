"""What deletion, insertion, inversion and translocation share: a number of bases, drawn anew for each sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from pydantic import Field, model_validator

from findna_kit.components.interfaces import ComponentConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from findna_kit.components.views import Draw, View


class SegmentConfig(ComponentConfig):
    """A length between two bounds, both included, every one as likely."""

    minimum: int = Field(0, ge=0, description="fewest bases")
    maximum: int = Field(20, ge=1, description="most bases; cut to the sequence's length")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        return self

    def draw(self, view: View, draw: Draw) -> tuple[Tensor, Tensor]:
        """A span's length and the largest length possible for each sequence, both [B, 1]."""
        largest = view.lengths[:, None].clamp(max=self.maximum)
        return draw.integers(largest.clamp(max=self.minimum), largest + 1, 1), largest


def positions_and_lengths(view: View) -> tuple[Tensor, Tensor]:
    """Positions [1, L] and each sequence's number of valid ones [B, 1]."""
    return torch.arange(view.tokens.shape[1], device=view.tokens.device)[None], view.lengths[:, None]


def shifted_segments(length: int, *, ends: Sequence[Tensor], shifts: Sequence[Tensor]) -> Tensor:
    """Positions [B, length], each moved by the shift of its piece: the source of a view whose stretches have moved.

    ends: where each piece but the last ends, in order, each [B, 1] in 0 ... length. shifts: one more than those, each [B, 1].
    """
    shift = torch.cat(list(shifts), dim=1)
    step = torch.ones(len(shift), length + 1, dtype=torch.int64, device=shift.device)
    step[:, 0] = shift[:, 0]
    # From one position to the next it is a step of one, and where a piece ends the difference of two shifts more.
    return step.scatter_add_(1, torch.cat(list(ends), dim=1), shift.diff(dim=1))[:, :length].cumsum(1)

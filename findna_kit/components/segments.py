"""Moving segments of sequences: their random lengths, and the positions that a view is gathered from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from pydantic import Field, model_validator

from findna_kit.components.interfaces import ComponentConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from findna_kit.components.draws import Draw
    from findna_kit.components.views import View


class SegmentConfig(ComponentConfig):
    """The length of a segment, uniform between two bounds that are both included."""

    minimum: int = Field(0, ge=0, description="smallest length in bases")
    maximum: int = Field(20, ge=1, description="largest length in bases; cut to the length of the sequence")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        """Require `minimum <= maximum`."""
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        return self

    def draw(self, view: View, draw: Draw) -> tuple[Tensor, Tensor]:
        """Draw a segment length for each sequence; return it and the largest possible length, both [B, 1]."""
        largest = view.lengths[:, None].clamp(max=self.maximum)
        # In a sequence that is shorter than `minimum` the segment is the whole sequence: both bounds are cut to its length.
        return draw.integers(largest.clamp(max=self.minimum), largest + 1, 1), largest


def positions_and_lengths(view: View) -> tuple[Tensor, Tensor]:
    """Return the positions [1, L] and the number of valid positions of each sequence [B, 1]."""
    return torch.arange(view.tokens.shape[1], device=view.tokens.device)[None], view.lengths[:, None]


def shifted_segments(length: int, *, ends: Sequence[Tensor], shifts: Sequence[Tensor]) -> Tensor:
    """Return the positions [B, length], each plus the shift of its segment: a `source` for `View.gather`.

    ends: the end of every segment but the last, in order, each [B, 1] in 0 ... length.
    shifts: the shift of every segment, each [B, 1].
    """
    shift = torch.cat(list(shifts), dim=1)
    # One more column than positions, since a segment may end at `length`, where no other begins. It is cut off again below.
    increment = torch.ones(len(shift), length + 1, dtype=torch.int64, device=shift.device)
    increment[:, 0] = shift[:, 0]
    # From one position to the next the source grows by 1, and at the end of a segment by the difference of the shifts as well.
    # Summing the increments needs one pass, however many segments there are.
    # An empty segment ends where the one before it does: both differences must be added at that position, not overwritten.
    return increment.scatter_add_(1, torch.cat(list(ends), dim=1), shift.diff(dim=1))[:, :length].cumsum(1)

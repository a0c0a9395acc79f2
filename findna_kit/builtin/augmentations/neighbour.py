"""Neighbouring regions of one window as positive pairs: two views that share no base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from findna_kit.components import Augmentation, Draw, SegmentConfig, View
from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from torch import Tensor


class Neighbour(Augmentation):
    """Placement of the view's crop to the left or to the right of the window's centre; bases are unchanged.

    A view with `side: left` and one with `side: right`, both with a `length` and the same bounds, are two regions with a gap of
    `minimum` to `maximum` bases. As in contrastive predictive coding (van den Oord et al. 2018), all they share is their
    origin. The two views are drawn independently: each draws a gap and leaves half of it on its side, the right one the larger
    half. So the total gap is within the bounds, and nearer to their middle than to their ends. Without `length` nothing is
    cropped, and the augmentation has no effect.
    """

    class Config(SegmentConfig):
        """Side, and bounds of the gap between the two crops."""

        side: Literal["left", "right"] = Field(description="side of the window's centre on which the crop is placed")

    config: Config
    examples = ({"side": "left"}, {"side": "right", "minimum": 1, "maximum": 5})

    def __call__(self, view: View, draw: Draw) -> View:
        """Return the view unchanged; the crop was placed by `crop_start`."""
        return view

    def crop_start(self, window: View, length: int, draw: Draw) -> Tensor:
        """Return the start of the crop, [B, 1]. Raise FindnaError if two crops and the largest gap exceed the window."""
        required, available = 2 * length + self.config.maximum, window.tokens.shape[1]
        if required > available:
            raise FindnaError(
                f"neighbour: two crops of {length} bases with up to {self.config.maximum} between them do not fit into a "
                f"window of {available}; set data.length to at least {required}, or reduce the view's length or the gap's "
                "maximum"
            )
        count = window.lengths[:, None]
        gap = draw.integers(self.config.minimum, self.config.maximum + 1, 1)
        centre = count // 2
        start = centre - gap // 2 - length if self.config.side == "left" else centre + (gap + 1) // 2
        # A padded sequence may be too short for both crops; they then overlap.
        return start.clamp(min=0).minimum((count - length).clamp(min=0))

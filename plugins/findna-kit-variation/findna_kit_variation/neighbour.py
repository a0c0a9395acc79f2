"""Neighbouring stretches of one window as positives: views of the same region that share no base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from findna_kit.components import Augmentation, Draw, SegmentConfig, View
from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from torch import Tensor


class Neighbour(Augmentation):
    """Puts the view's crop to the left or to the right of the window's centre; bases are left as they are.

    One view with `side: left` beside one with `side: right`, both with a `length` and the same bounds, are two stretches with a
    gap between `minimum` and `maximum` bases: as with signals of one source in time (contrastive predictive coding, van den
    Oord et al. 2018), what they have in common is where they come from. Views are drawn without knowing of each other: each
    draws a gap and leaves half of it on its own side, the right one the larger half, so the whole lies between the bounds,
    and nearer their middle than their ends. Without `length` nothing is cropped, and this does nothing.
    """

    class Config(SegmentConfig):
        """Which side, and the gap that is left between both; `maximum` is not cut."""

        side: Literal["left", "right"] = Field(description="of the window's centre that the crop lies on")

    config: Config
    examples = ({"side": "left"}, {"side": "right", "minimum": 1, "maximum": 5})

    def __call__(self, view: View, draw: Draw) -> View:
        """The view itself: it has been cropped before."""
        return view

    def crop_start(self, window: View, length: int, draw: Draw) -> Tensor:
        """Where the crop begins, [B, 1]. FindnaError where two crops and the largest gap are longer than the window."""
        wanted, whole = 2 * length + self.config.maximum, window.tokens.shape[1]
        if wanted > whole:
            raise FindnaError(
                f"neighbour: two crops of {length} bases with up to {self.config.maximum} between them do not fit into a "
                f"window of {whole}; set data.length to at least {wanted}, or the view's length or the gap's maximum to less"
            )
        count = window.lengths[:, None]
        gap = draw.integers(self.config.minimum, self.config.maximum + 1, 1)
        centre = count // 2
        start = centre - gap // 2 - length if self.config.side == "left" else centre + (gap + 1) // 2
        # A sequence that is padded to the window's length may be too short for both; its crops then overlap.
        return start.clamp(min=0).minimum((count - length).clamp(min=0))

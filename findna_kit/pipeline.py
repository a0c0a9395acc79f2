"""From a window to a named view: a crop, augmentations folded in the order of the recipe, then the mask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from findna_kit import dna
from findna_kit.views import Draw

if TYPE_CHECKING:
    from torch import Tensor

    from findna_kit.interfaces import Augmentation, Masking, ViewPlan
    from findna_kit.views import View


@dataclass(frozen=True)
class ViewPipeline:
    """How one view is made. `augmentations` carry the recipe's names, which key their randomness; `crop`: nucleotides of it."""

    plan: ViewPlan
    augmentations: tuple[tuple[str, Augmentation], ...] = ()
    masking: tuple[str, Masking] | None = None
    crop: int | None = None

    @property
    def name(self) -> str:
        """The recipe's label; of several views made alike, with a number."""
        return self.plan.name

    def view(self, window: View, *, seed: int, step: int | str, rows: Tensor) -> View:
        """The view of the windows at `rows` [B] of the global batch of that step."""
        made = window if self.crop is None else _cropped(window, self.crop, Draw(seed, "crop", self.name, step, rows=rows))
        for place, (name, augmentation) in enumerate(self.augmentations):
            made = augmentation(made, Draw(seed, "view", self.name, place, name, step, rows=rows))
        return self._masked(made, seed, step, rows)

    def plain(self, window: View, *, seed: int, step: int | str, rows: Tensor) -> View:
        """The windows as they are, masked, with MASK at every masked position: none can be copied from what is shown."""
        made = self._masked(window, seed, step, rows)
        return replace(made, corrupted=torch.full_like(made.corrupted, dna.MASK))

    def _masked(self, view: View, seed: int, step: int | str, rows: Tensor) -> View:
        if self.masking is None:
            return view
        name, masking = self.masking
        return masking(view, Draw(seed, "mask", self.name, name, step, rows=rows))

    def noise(self, view: View, *, seed: int, step: int | str, rows: Tensor) -> Tensor | None:
        """The noise that the view states, [B, L, 5], the same for both branches; None where it states none."""
        if view.deviation is None:
            return None
        drawn = Draw(seed, "noise", self.name, step, rows=rows).normal(view.tokens.shape[1], dna.CHANNELS)
        return drawn.mul_(view.deviation[:, None, None])


def _cropped(window: View, length: int, draw: Draw) -> View:
    """A random stretch of each window, every place as likely; of a window that is padded to more, of what is valid."""
    last = (window.lengths[:, None] - length).clamp(min=0)
    start = draw.integers(0, last + 1, 1)
    return window.take(start + torch.arange(length, device=start.device))

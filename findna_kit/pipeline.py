"""From a window to a named view: augmentations folded in the order of the recipe, then the mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit import dna
from findna_kit.views import Draw

if TYPE_CHECKING:
    from torch import Tensor

    from findna_kit.interfaces import Augmentation, Masking, ViewPlan
    from findna_kit.views import View


@dataclass(frozen=True)
class ViewPipeline:
    """How one view is made. `augmentations` carry the recipe's names, which key their randomness."""

    plan: ViewPlan
    augmentations: tuple[tuple[str, Augmentation], ...] = ()
    masking: tuple[str, Masking] | None = None

    @property
    def name(self) -> str:
        """The recipe's label."""
        return self.plan.name

    def view(self, window: View, *, seed: int, step: int | str, rows: Tensor, augment: bool = True) -> View:
        """The view of the windows at `rows` [B] of the global batch of that step; without augmentations if told so."""
        made = window
        for place, (name, augmentation) in enumerate(self.augmentations if augment else ()):
            made = augmentation(made, Draw(seed, "view", self.name, place, name, step, rows=rows))
        if self.masking is not None:
            name, masking = self.masking
            made = masking(made, Draw(seed, "mask", self.name, name, step, rows=rows))
        return made

    def noise(self, view: View, *, seed: int, step: int | str, rows: Tensor) -> Tensor | None:
        """The noise that the view states, [B, L, 5], the same for both branches; None where it states none."""
        if view.deviation is None:
            return None
        drawn = Draw(seed, "noise", self.name, step, rows=rows).normal(view.tokens.shape[1], dna.CHANNELS)
        return drawn * view.deviation[:, None, None]

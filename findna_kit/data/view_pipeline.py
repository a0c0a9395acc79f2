"""From a window to a named view: a crop, augmentations folded in the order of the recipe, then the mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from findna_kit import alphabet, rng
from findna_kit.components.draws import Draw
from findna_kit.components.views import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from findna_kit.components.interfaces import Augmentation, Contig, Masking, ViewPlan

_BLOCK = 1 << 19
"""Bases at once on a CPU: a row's view hangs on no other row, and what is made of so few on the way takes little memory."""


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

    def on_genome(self, contigs: Sequence[Contig]) -> None:
        """Tells its augmentations and its masking what `view.contig` counts."""
        for _, part in (*self.augmentations, *([] if self.masking is None else [self.masking])):
            part.on_genome(contigs)

    def view(self, window: View, *, seed: int, step: int | str, rows: Tensor) -> View:
        """The view of the windows at `rows` [B] of the global batch of that step."""
        parts = rng.batch_slices(len(rows), window.tokens.shape[1], rows.device, _BLOCK)
        if len(parts) < 2:
            return self._view(window, seed, step, rows)
        return View.concatenate([self._view(window.select(part), seed, step, rows[part]) for part in parts])

    def plain(self, window: View, *, seed: int, step: int | str, rows: Tensor) -> View:
        """The windows as they are, masked, with MASK at every masked position: none can be copied from what is shown."""
        made = self._masked(window, seed, step, rows)
        return made.with_mask(made.masked_index, made.masked_weight, torch.full_like(made.corrupted, alphabet.MASK))

    def _view(self, window: View, seed: int, step: int | str, rows: Tensor) -> View:
        made = window if self.crop is None else self._cropped(window, self.crop, seed, step, rows)
        for place, (name, augmentation) in enumerate(self.augmentations):
            made = augmentation(made, Draw(seed, "view", self.name, place, name, step, rows=rows))
        return self._masked(made, seed, step, rows)

    def _cropped(self, window: View, length: int, seed: int, step: int | str, rows: Tensor) -> View:
        """A stretch of each window: where an augmentation puts it, or else at a random place."""
        for place, (name, augmentation) in enumerate(self.augmentations):
            start = augmentation.crop_start(window, length, Draw(seed, "crop", self.name, place, name, step, rows=rows))
            if start is not None:
                break
        else:
            start = _random_start(window, length, Draw(seed, "crop", self.name, step, rows=rows))
        return window.gather(start + torch.arange(length, device=start.device))

    def _masked(self, view: View, seed: int, step: int | str, rows: Tensor) -> View:
        if self.masking is None:
            return view
        name, masking = self.masking
        return masking(view, Draw(seed, "mask", self.name, name, step, rows=rows))

    def noise(self, view: View, *, seed: int, step: int | str, rows: Tensor) -> Tensor | None:
        """The noise that the view states, [B, L, 5], the same for both branches; None where it states none."""
        if view.deviation is None:
            return None
        drawn = Draw(seed, "noise", self.name, step, rows=rows).normal(view.tokens.shape[1], alphabet.CHANNELS)
        return drawn.mul_(view.deviation[:, None, None])


def _random_start(window: View, length: int, draw: Draw) -> Tensor:
    """Every place as likely; in a window that is padded to more, of what is valid."""
    last = (window.lengths[:, None] - length).clamp(min=0)
    return draw.integers(0, last + 1, 1)

"""From a window to a named view: a crop, augmentations in the order of the recipe, then the mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from findna_kit import alphabet, rng
from findna_kit.components.draws import Draw
from findna_kit.components.views import View
from findna_kit.data.crops import CropShare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from findna_kit.components.interfaces import Augmentation, Contig, Masking, ViewPlan

_BLOCK = 1 << 19
"""Bases per block on a CPU. A sequence's view depends on no other sequence, and small blocks need little memory on the way."""


@dataclass(frozen=True)
class ViewPipeline:
    """How one view is made.

    augmentations: with the recipe's names, which are part of the key of their random numbers. crop: length in nucleotides, or
    the share of the window from which a step's length is drawn; None for the whole window.
    """

    plan: ViewPlan
    augmentations: tuple[tuple[str, Augmentation], ...] = ()
    masking: tuple[str, Masking] | None = None
    crop: int | CropShare | None = None

    @property
    def name(self) -> str:
        """Return the view's label in the recipe, with a number if the recipe makes several alike (`label.1`)."""
        return self.plan.name

    def on_genome(self, contigs: Sequence[Contig]) -> None:
        """Pass the contigs that `view.contig` indexes to the augmentations and the masking."""
        for _, component in (*self.augmentations, *([] if self.masking is None else [self.masking])):
            component.on_genome(contigs)

    def check_crop(self, window: int) -> None:
        """Raise FindnaError if an augmentation cannot place the longest crop in windows of `window` nucleotides."""
        length = self._length(window, 0, 0, longest=True)
        if length is not None:
            # A batch of no windows: the crop of a later step must not be the first to fail.
            empty = View.of_windows(torch.empty(0, window, dtype=torch.int64))
            self._cropped(empty, length, 0, 0, torch.empty(0, dtype=torch.int64))

    def view(self, window: View, *, seed: int, step: int | str, rows: Tensor, longest: bool = False) -> View:
        """Make the view of windows. rows: [B], their indices in the global batch of the step.

        longest: with a crop of the largest length that any step has, for measurements of memory and FLOPs.
        """
        length = self._length(window.tokens.shape[1], seed, step, longest=longest)
        slices = rng.batch_slices(len(rows), window.tokens.shape[1], rows.device, _BLOCK)
        if len(slices) < 2:
            return self._view(window, length, seed, step, rows)
        return View.concatenate([self._view(window.select(part), length, seed, step, rows[part]) for part in slices])

    def plain(self, window: View, *, seed: int, step: int | str, rows: Tensor) -> View:
        """Make the view for validation: the windows without augmentation, with MASK at every masked position.

        No masked position shows a base, so that what is predicted there cannot be copied from the input.
        """
        # The mask is drawn as in training, so its positions and their number have the same distribution.
        view = self._masked(window, seed, step, rows)
        return view.with_mask(view.masked_index, view.masked_weight, torch.full_like(view.corrupted, alphabet.MASK))

    def cropped(self, window: View, *, seed: int, step: int | str, rows: Tensor) -> View:
        """Make the view up to its crop: the windows, or their crops, before any augmentation."""
        length = self._length(window.tokens.shape[1], seed, step, longest=False)
        return window if length is None else self._cropped(window, length, seed, step, rows)

    def _length(self, window: int, seed: int, step: int | str, *, longest: bool) -> int | None:
        """Return the length of the step's crops of windows of `window` nucleotides; None without a crop."""
        if isinstance(self.crop, CropShare):
            return self.crop.longest(window) if longest else self.crop.length(window, seed=seed, step=step)
        return self.crop

    def _view(self, window: View, length: int | None, seed: int, step: int | str, rows: Tensor) -> View:
        """Crop to `length` (None: the whole window), augment and mask one block of windows."""
        view = window if length is None else self._cropped(window, length, seed, step, rows)
        # The position in the list is part of the key: two augmentations of one name draw different numbers.
        for position, (name, augmentation) in enumerate(self.augmentations):
            view = augmentation(view, Draw(seed, "view", self.name, position, name, step, rows=rows))
        # Masking is last: augmentations would move masked positions, and inserted bases must not be masked.
        return self._masked(view, seed, step, rows)

    def _cropped(self, window: View, length: int, seed: int, step: int | str, rows: Tensor) -> View:
        """Crop each window to `length`: where the first augmentation that decides it says, otherwise at a random start."""
        for position, (name, augmentation) in enumerate(self.augmentations):
            draw = Draw(seed, "crop", self.name, position, name, step, rows=rows)
            start = augmentation.crop_start(window, length, draw)
            if start is not None:
                break
        else:
            start = _random_start(window, length, Draw(seed, "crop", self.name, step, rows=rows))
        return window.gather(start + torch.arange(length, device=start.device))

    def _masked(self, view: View, seed: int, step: int | str, rows: Tensor) -> View:
        """Apply the masking, if there is one."""
        if self.masking is None:
            return view
        name, masking = self.masking
        return masking(view, Draw(seed, "mask", self.name, name, step, rows=rows))

    def noise(self, view: View, *, seed: int, step: int | str, rows: Tensor) -> Tensor | None:
        """Draw the noise of a view, [B, L, 5], the same for both branches; None for a view without noise."""
        if view.deviation is None:
            return None
        # The key does not name a branch: student and teacher receive the same noise.
        noise = Draw(seed, "noise", self.name, step, rows=rows).normal(view.tokens.shape[1], alphabet.CHANNELS)
        return noise.mul_(view.deviation[:, None, None])


def _random_start(window: View, length: int, draw: Draw) -> Tensor:
    """Draw the start of a crop, [B, 1], uniform over those whose crop is valid throughout; 0 if the window is too short."""
    last = (window.lengths[:, None] - length).clamp(min=0)
    return draw.integers(0, last + 1, 1)

"""The length of a view's crop where the recipe states it as a share of the window."""

from __future__ import annotations

from dataclasses import dataclass

from findna_kit import rng


@dataclass(frozen=True)
class CropShare:
    """A crop whose share of the window is drawn once per step, uniformly between `smallest` and `largest`.

    All sequences of a step have crops of one length, because a batch is one tensor; so have all views of a `label` with
    `count: n`. A length is rounded down to a multiple of `stride`, the encoder's, so that no embedding is of padding in part.
    """

    label: str
    smallest: float
    largest: float
    stride: int = 1

    def length(self, window: int, *, seed: int, step: int | str) -> int:
        """Return the length in a step, in nucleotides, of a crop of windows of `window` nucleotides."""
        # A Python number from a hash and not a tensor: every process and micro-batch computes it without asking the device.
        fraction = (rng.key(seed, "crop length", self.label, step) % 2**53) / 2**53
        return self._rounded((self.smallest + (self.largest - self.smallest) * fraction) * window, window)

    def longest(self, window: int) -> int:
        """Return the largest length that `length` can return."""
        return self._rounded(self.largest * window, window)

    def _rounded(self, length: float, window: int) -> int:
        """Round to whole bases, then down to a multiple of the stride; never 0, and never more than the window."""
        # Of the float 28.999... that 0.29 * 100 gives, 29 is meant, so that the first rounding is to the nearest number.
        return min(max(round(length) // self.stride, 1) * self.stride, window)

"""Masking that counts repeats for less (GPN; Benegas, Batra and Song 2023, PNAS 120:e2311219120)."""

from __future__ import annotations

from pydantic import Field

from findna_kit.components import Draw, MaskCorruptionConfig, Masking, View, maskable_bases


class RepeatAwareMasking(Masking):
    """Masks bases here and there; one that the genome has soft-masked (lower case: a repeat) weighs less, or is drawn less.

    The masked loss is a weighted mean: a repeat's base counts `repeat_weight` in it. Drawing is without putting back, the next
    base always with a chance in proportion to 1, or to `repeat_chance` in a repeat, as Efraimidis and Spirakis (2006) do it:
    the smallest of exponential numbers with these rates.
    """

    class Config(MaskCorruptionConfig):
        """How many, what the student is shown there, and what of it repeats get."""

        repeat_weight: float = Field(
            0.1, ge=0, le=1, description="what a soft-masked base counts for, beside 1; with 0 it is shown as it is"
        )
        repeat_chance: float = Field(1.0, gt=0, le=1, description="of a soft-masked base to be drawn, as a share of another's")

    config: Config
    examples = ({}, {"repeat_weight": 1.0, "repeat_chance": 0.2})

    def __call__(self, view: View, draw: Draw) -> View:
        """The masked view."""
        slots, own = self.config.max_masked(view), maskable_bases(view)
        waited = -(-draw.uniform(own.shape[1])).log1p()
        waited = (waited / self.config.repeat_chance).where(view.soft_masked, waited).masked_fill(~own, float("inf"))
        index = waited.topk(slots, dim=1, largest=False).indices
        made = self.config.mask(view, index, self.config.num_masked(own), draw.uniform(slots), draw)
        weight = (made.masked_weight * self.config.repeat_weight).where(view.soft_masked.gather(1, index), made.masked_weight)
        return made.with_mask(index, weight, made.corrupted)

"""Masking with a lower weight for repeats (GPN; Benegas, Batra and Song 2023, PNAS 120:e2311219120)."""

from __future__ import annotations

from pydantic import Field

from findna_kit.components import Draw, MaskCorruptionConfig, Masking, View, maskable_bases


class RepeatAwareMasking(Masking):
    """Masking of single bases in which soft-masked ones (lower case: repeats) have a lower weight or are masked less often.

    The masked loss is a weighted mean, in which a base of a repeat has the weight `repeat_weight` (GPN, Benegas 2023). Bases
    are drawn without replacement; the chance of a base is proportional to 1, or to `repeat_chance` in a repeat. As in
    Efraimidis and Spirakis (2006), the bases with the smallest exponential random numbers of these rates are taken.
    """

    class Config(MaskCorruptionConfig):
        """Share of bases to mask, what the student sees in their place, and weight and chance of repeats."""

        repeat_weight: float = Field(
            0.1, ge=0, le=1, description="weight of a soft-masked base; that of others is 1; with 0 the student sees the base"
        )
        repeat_chance: float = Field(
            1.0, gt=0, le=1, description="chance that a soft-masked base is masked, relative to other bases"
        )

        @property
        def uses_soft_masking(self) -> bool:
            """Return whether lower case in the genome has an effect."""
            return super().uses_soft_masking or self.repeat_chance < 1

    config: Config
    examples = ({}, {"repeat_weight": 1.0, "repeat_chance": 0.2})

    @property
    def uses_soft_masking(self) -> bool:
        """Return whether lower case in the genome has an effect."""
        return self.config.uses_soft_masking

    def __call__(self, view: View, draw: Draw) -> View:
        """Return the masked view, with lower weights in repeats."""
        slots, maskable = self.config.max_masked(view), maskable_bases(view)
        # -log(1 - u) of a uniform u in [0, 1) is exponential and always finite. Divided by a rate, it has that rate.
        exponential = -(-draw.uniform(maskable.shape[1])).log1p()
        exponential = (exponential / self.config.repeat_chance).where(view.soft_masked, exponential)
        index = exponential.masked_fill(~maskable, float("inf")).topk(slots, dim=1, largest=False).indices
        return self.config.mask(view, index, self.config.num_masked(maskable, draw), draw.uniform(slots), draw)

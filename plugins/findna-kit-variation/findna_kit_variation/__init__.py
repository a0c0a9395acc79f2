"""Augmentations and maskings for FinDNA-Kit that follow how genomes vary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.components import hookimpl
from findna_kit_variation.codon import CodonMasking
from findna_kit_variation.indel import Indel
from findna_kit_variation.population_variants import PopulationVariants
from findna_kit_variation.repeat_aware import RepeatAwareMasking
from findna_kit_variation.tandem_repeat import TandemRepeat

if TYPE_CHECKING:
    from findna_kit.plugins import Components

findna_kit_api = 2


@hookimpl
def findna_kit_register(registry: Components) -> None:
    """Register the augmentations and maskings of this package."""
    registry.augmentations.add("indel", Indel)
    registry.augmentations.add("tandem_repeat", TandemRepeat)
    registry.augmentations.add("population_variants", PopulationVariants)
    registry.maskings.add("codon", CodonMasking)
    registry.maskings.add("repeat_aware", RepeatAwareMasking)

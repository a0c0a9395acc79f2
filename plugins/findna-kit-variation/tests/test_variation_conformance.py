"""Conformance of every augmentation and masking of the package."""

import pytest
from findna_kit_variation import (
    CodonMasking,
    Indel,
    PopulationVariants,
    RepeatAwareMasking,
    TandemRepeat,
)

from findna_kit.plugins.loading import load_plugins
from findna_kit.testing import check_augmentation, check_masking

AUGMENTATIONS = {
    "indel": Indel,
    "tandem_repeat": TandemRepeat,
    "population_variants": PopulationVariants,
}
MASKINGS = {"codon": CodonMasking, "repeat_aware": RepeatAwareMasking}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentations_conform(name):
    check_augmentation(AUGMENTATIONS[name])


@pytest.mark.parametrize("name", MASKINGS)
def test_maskings_conform(name):
    check_masking(MASKINGS[name])


def test_these_are_all_that_are_registered():
    components, _ = load_plugins()
    for registry, expected in ((components.augmentations, AUGMENTATIONS), (components.maskings, MASKINGS)):
        own = {name: registry[name] for name in registry if registry.owners(name)[0].distribution == "findna-kit-variation"}
        assert own == expected

"""What the kit's own plugins bring: every component is used by a recipe that comes with the kit or with its plugin."""

import pytest

from findna_kit.plugins.entry_points import RECIPES, enabled_entries, recipes_of
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe, shipped_recipes

OURS = ("findna-kit-encoders", "findna-kit-objectives", "findna-kit-optimizers", "findna-kit-teachers", "findna-kit-variation")
COMPONENTS, _ = load_plugins()
STATED = {"encoders:pretrained": ["encoder.folder=anywhere"]}
"""What a recipe leaves to its user."""


@pytest.fixture(scope="module")
def used():
    """Kind and name of whatever the recipes choose."""
    names = [*shipped_recipes()]
    for offer in enabled_entries(RECIPES):
        if offer.owner.distribution in OURS:
            names += recipes_of(offer)
    kinds = {registry.kind: registry for registry in COMPONENTS.registries()}
    chosen = [one for name in names for _, one in load_recipe(name, COMPONENTS, overrides=STATED.get(name, [])).chosen()]
    return {(kind, one.name) for one in chosen for kind, registry in kinds.items() if registry.get(one.name) is one.component}


@pytest.mark.parametrize("distribution", OURS)
def test_every_component_is_used_by_a_recipe(distribution, used):
    brought = {
        (registry.kind, name)
        for registry in COMPONENTS.registries()
        for name in registry
        if any(owner.distribution == distribution for owner in registry.owners(name))
    }
    assert brought, f"{distribution} is not installed: make .venv/dev"
    assert brought - used == set()

"""The registry as a mapping, what it refuses, and who is credited."""

from __future__ import annotations

import pytest
from pydantic import Field

from findna_kit.builtin.maskings.independent import IndependentMasking
from findna_kit.components.interfaces import Augmentation, ComponentConfig, Encoder, Loss, TeacherUpdate
from findna_kit.errors import ComponentClash, FindnaError, PluginError, UnknownComponent
from findna_kit.plugins.entry_points import PluginSource
from findna_kit.plugins.registry import Components

OURS, THEIRS = PluginSource("ours", "findna-ours", "1.0"), PluginSource("theirs", "findna-theirs", "2.1")


class Flip(Augmentation):
    class Config(ComponentConfig):
        share: float = Field(0.5, description="how often")

    def __call__(self, view, draw):
        return view


class Turn(Flip):
    pass


class Agree(Loss):
    class Config(ComponentConfig):
        pass

    head_input = "pooled"

    def count(self, student, teacher):
        raise NotImplementedError

    def forward(self, student, teacher, clock):
        raise NotImplementedError


class Copy(TeacherUpdate):
    class Config(ComponentConfig):
        pass

    def initial(self, student):
        return student

    def __call__(self, teacher, student, clock, metrics):
        return {}


class Flat(Encoder):
    class Config(ComponentConfig):
        pass

    def __init__(self, config, *, length, class_tokens):
        super().__init__(config, length=length, class_tokens=class_tokens)

    def forward(self, bases, valid, *, layers=()):
        return bases, {}


def filled(*, owner=OURS, **augmentations):
    components = Components()
    with components.registering(owner):
        for name, component in augmentations.items():
            components.augmentations.add(name, component)
    return components


def refused(kind, component, *, name="mine"):
    """The sentence that meets a class which may not be registered."""
    components = Components()
    with pytest.raises(PluginError) as caught, components.registering(OURS):
        getattr(components, kind).add(name, component)
    assert not getattr(components, kind)
    return str(caught.value)


def test_is_a_mapping_sorted_by_name():
    registry = filled(turn=Turn, flip=Flip).augmentations
    assert list(registry) == list(registry.keys()) == ["flip", "turn"]
    assert len(registry) == 2
    assert registry["turn"] is Turn
    assert dict(registry) == {"flip": Flip, "turn": Turn}
    assert "turn" in registry
    assert registry.owners("turn") == (OURS,)


def test_an_empty_registry_is_a_mapping_too():
    registry = Components().losses
    assert (list(registry), len(registry), dict(registry)) == ([], 0, {})
    with pytest.raises(UnknownComponent, match=r"no loss is called 'x' \(known: none\)"):
        registry["x"]


def test_an_unknown_name_is_answered_with_the_nearest():
    registry = filled(turn=Turn, flip=Flip).augmentations
    with pytest.raises(UnknownComponent) as caught:
        registry["flap"]
    assert str(caught.value) == "no augmentation is called 'flap'; did you mean 'flip'? (known: flip, turn)"
    assert isinstance(caught.value, KeyError)
    assert isinstance(caught.value, FindnaError)
    assert caught.value.exit_code == 2


def test_a_name_like_no_other_has_no_nearest():
    with pytest.raises(UnknownComponent, match=r"no augmentation is called 'zzzzzz' \(known: flip\)"):
        filled(flip=Flip).augmentations["zzzzzz"]


def test_get_and_in_do_not_raise_for_unknown_names():
    registry = filled(flip=Flip).augmentations
    assert "flap" not in registry
    assert registry.get("flap") is None


def test_a_name_claimed_twice_names_both_owners_and_the_way_out():
    components = filled(flip=Flip, turn=Turn)
    with components.registering(THEIRS):
        components.augmentations.add("flip", Turn)
    registry = components.augmentations
    with pytest.raises(ComponentClash) as caught:
        registry["flip"]
    assert str(caught.value) == (
        "augmentation 'flip' is claimed by ours (findna-ours 1.0) and theirs (findna-theirs 2.1); "
        "leave one out with --without theirs"
    )
    assert registry["turn"] is Turn
    assert registry.owners("flip") == (OURS, THEIRS)
    assert list(registry) == ["flip", "turn"]


def test_of_two_plugins_of_one_name_the_distribution_is_the_way_out():
    components = filled(flip=Flip)
    with components.registering(PluginSource(OURS.plugin, "findna-others", "3.0")):
        components.augmentations.add("flip", Turn)
    with pytest.raises(ComponentClash, match="leave one out with --without findna-others"):
        components.augmentations["flip"]


def test_one_name_in_two_kinds_is_no_clash():
    components = Components()
    with components.registering(OURS):
        components.augmentations.add("flip", Flip)
        components.losses.add("flip", Agree)
    assert (components.augmentations["flip"], components.losses["flip"]) == (Flip, Agree)


def test_dropping_an_owner_leaves_the_others():
    components = filled(flip=Flip, turn=Turn)
    with components.registering(THEIRS):
        components.augmentations.add("flip", Turn)
    components.augmentations.drop(OURS)
    assert dict(components.augmentations) == {"flip": Turn}
    components.augmentations.drop(THEIRS)
    assert len(components.augmentations) == 0


def test_what_a_failing_block_registered_is_taken_back():
    """In every kind, and none but its own."""
    components = filled(flip=Flip)
    with pytest.raises(ZeroDivisionError), components.registering(THEIRS):
        components.augmentations.add("flip", Turn)
        components.losses.add("agree", Agree)
        raise ZeroDivisionError
    assert dict(components.augmentations) == {"flip": Flip}
    assert len(components.losses) == 0


def test_components_are_added_inside_the_hook_only():
    components = filled(flip=Flip)
    with pytest.raises(PluginError, match="'turn': components are registered inside findna_kit_register only"):
        components.augmentations.add("turn", Turn)


def test_kinds_are_in_the_order_of_a_recipe():
    kinds = [registry.kind for registry in Components().registries()]
    assert kinds == ["augmentation", "masking", "encoder", "loss", "teacher_update", "optimizer", "schedule"]


@pytest.mark.parametrize("component", [dict, Agree, Flip(Flip.Config()), lambda view, draw: view, None, "flip"])
def test_what_is_no_class_of_the_kind_is_refused(component):
    assert "is not a subclass of Augmentation" in refused("augmentations", component)


def test_an_augmentation_is_no_masking():
    assert "masking 'mine'" in refused("maskings", Flip)


def test_a_class_that_leaves_methods_out_is_refused():
    class Half(Loss):
        class Config(ComponentConfig):
            pass

        reads = "pooled"

        def count(self, student, teacher):
            raise NotImplementedError

    assert refused("losses", Half).endswith("Half does not define forward")


@pytest.mark.parametrize("config", [None, object, {"share": 0.5}, dict])
def test_a_class_without_a_config_is_refused(config):
    class Bare(Flip):
        Config = config

    assert refused("augmentations", Bare).endswith("Bare has no nested Config(ComponentConfig)")


@pytest.mark.parametrize("name", ["Flip", "my.flip", "my flip", "", "2d", "flip-2", 7, None])
def test_a_name_that_no_recipe_could_say_is_refused(name):
    assert "a name is made of lower-case letters, digits and _, a letter first" in refused("augmentations", Flip, name=name)


def test_one_plugin_cannot_claim_a_name_twice():
    components = Components()
    with pytest.raises(PluginError, match="'flip': registered twice by one plugin"), components.registering(OURS):
        components.augmentations.add("flip", Flip)
        components.augmentations.add("flip", Turn)
    assert len(components.augmentations) == 0


@pytest.mark.parametrize(
    ("kind", "parent", "attribute", "value", "sentence"),
    [
        ("losses", Agree, "head_input", "pool", "Bad.head_input must be one of masked, class, pooled, all (got 'pool')"),
        ("losses", Agree, "head_input", None, "Bad.head_input must be one of masked, class, pooled, all (got nothing)"),
        ("losses", Agree, "coupling", "global", "Bad.coupling must be one of sample, batch (got 'global')"),
        ("encoders", Flat, "strand", "both", "Bad.strand must be one of none, invariant, equivariant (got 'both')"),
        ("teacher_updates", Copy, "export_branch", "both", "Bad.export_branch must be one of teacher, student (got 'both')"),
    ],
)
def test_a_declared_word_must_be_one_that_is_known(kind, parent, attribute, value, sentence):
    bad = type("Bad", (parent,), {attribute: value})
    assert refused(kind, bad).endswith(sentence)


def test_well_made_classes_of_every_checked_kind_pass():
    components = Components()
    with components.registering(OURS):
        components.losses.add("agree", Agree)
        components.encoders.add("flat", Flat)
        components.teacher_updates.add("copy", Copy)
    assert [len(registry) for registry in components.registries()] == [0, 0, 1, 1, 1, 0, 0]


def test_an_owner_reads_as_plugin_and_distribution():
    assert str(OURS) == "ours (findna-ours 1.0)"


def test_a_masking_is_no_augmentation():
    """It draws last: as an augmentation it would meet the next one with a masked view."""
    assert "is not a subclass of Augmentation" in refused("augmentations", IndependentMasking)
    assert "is not a subclass of Masking" in refused("maskings", Flip)

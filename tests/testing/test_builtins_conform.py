"""Every component that comes with the kit, and every one of the example plugin, keeps the laws that strangers are held to."""

import pytest

from findna_kit.plugins.loading import load_plugins
from findna_kit.testing.conformance import faults_of, planned, subjects

OURS = ("findna-kit", "findna-kit-example")


def _every():
    components, _ = load_plugins()
    for registry in components.registries():
        for name in registry:
            if registry.owners(name)[0].distribution in OURS:
                for subject, check in planned(subjects(registry.kind, registry[name])):
                    number = subject.family.index(subject.parameters)
                    yield pytest.param(subject, check, id=f"{registry.kind}-{name}-{number}-{check.name}")


@pytest.mark.parametrize(("subject", "check"), [*_every()])
def test_keeps_the_law(subject, check):
    assert faults_of(subject, check) == []

"""Conformance of every built-in component and of the example plugin."""

import pytest

from findna_kit.plugins.loading import load_plugins
from findna_kit.testing.conformance import build_cases, faults_of, planned_checks

OURS = ("findna-kit", "findna-kit-example")


def _every():
    components, _ = load_plugins()
    for registry in components.registries():
        for name in registry:
            if registry.owners(name)[0].distribution in OURS:
                for case, check in planned_checks(build_cases(registry.kind, registry[name])):
                    number = case.family.index(case.parameters)
                    yield pytest.param(case, check, id=f"{registry.kind}-{name}-{number}-{check.name}")


@pytest.mark.parametrize(("case", "check"), [*_every()])
def test_keeps_the_law(case, check):
    assert faults_of(case, check) == []

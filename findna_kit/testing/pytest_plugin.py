"""Plugin for pytest: the fixture `conformance` runs one test for each check of each component of the author's plugin.

    # pyproject.toml
    [tool.pytest.ini_options]
    findna_kit_plugin = "my_plugin"

    # tests/test_conformance.py
    def test_conformance(conformance):
        conformance.check()

This module is imported in every pytest session of the environment, so torch is imported only where the fixture is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from findna_kit.testing.packages import Conformance

OPTION, FIXTURE = "findna_kit_plugin", "conformance"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option `findna_kit_plugin`."""
    parser.addini(OPTION, "name of the FinDNA-Kit plugin whose components the fixture `conformance` checks")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise tests that use the fixture with all checks. Fail if the option does not name an installed plugin."""
    if FIXTURE not in metafunc.fixturenames:
        return
    name = str(metafunc.config.getini(OPTION)).strip()
    if not name:
        pytest.fail(
            f'the fixture `{FIXTURE}` needs the name of a plugin: set {OPTION} = "my_plugin" in [tool.pytest.ini_options] of '
            "pyproject.toml, to the name of the plugin's entry point in the group findna_kit",
            pytrace=False,
        )
    from findna_kit.testing.packages import conformances  # imports torch: sessions without the fixture must start fast

    try:
        checks = conformances(name)
    except FindnaError as error:
        pytest.fail(f"{OPTION} = {name!r}: {error}; install the plugin first: pip install --no-deps -e .", pytrace=False)
    metafunc.parametrize(FIXTURE, checks, ids=[str(check) for check in checks], indirect=True)


@pytest.fixture
def conformance(request: pytest.FixtureRequest) -> Conformance:
    """Return one check of one component; `conformance.check()` fails with a message for each violation."""
    conformance: Conformance = request.param
    if conformance.case is None:
        pytest.skip(f"{conformance.component} has no `examples`: test it with check_{conformance.kind} and parameters")
    return conformance

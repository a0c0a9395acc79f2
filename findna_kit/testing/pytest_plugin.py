"""For pytest: the fixture `conformance`, one test for each check of each component of the author's plugin.

    # pyproject.toml
    [tool.pytest.ini_options]
    findna_kit_plugin = "my_plugin"

    # tests/test_conformance.py
    def test_conformance(conformance):
        conformance.check()

This module is imported in every pytest session of the environment: what takes time is imported where the fixture is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from findna_kit.testing.packages import Conformance

OPTION, FIXTURE = "findna_kit_plugin", "conformance"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The ini option `findna_kit_plugin`."""
    parser.addini(OPTION, "name of the FinDNA-Kit plugin whose components the fixture `conformance` is parametrised over")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each check; a failure in words where the option names no plugin that can be checked."""
    if FIXTURE not in metafunc.fixturenames:
        return
    name = str(metafunc.config.getini(OPTION)).strip()
    if not name:
        pytest.fail(
            f'the fixture `{FIXTURE}` needs the name of a plugin: set {OPTION} = "my_plugin", as its entry point of the group '
            "findna_kit is called, in [tool.pytest.ini_options] of pyproject.toml",
            pytrace=False,
        )
    from findna_kit.testing.packages import conformances

    try:
        found = conformances(name)
    except FindnaError as error:
        pytest.fail(f"{OPTION} = {name!r}: {error}; it must be installed here: pip install --no-deps -e .", pytrace=False)
    metafunc.parametrize(FIXTURE, found, ids=[str(one) for one in found], indirect=True)


@pytest.fixture
def conformance(request: pytest.FixtureRequest) -> Conformance:
    """One check of one component: `conformance.check()` fails with all that is wrong, in words."""
    made: Conformance = request.param
    if made.case is None:
        pytest.skip(f"{made.component} has no `examples` to be built from: check it with parameters, in a test of its own")
    return made

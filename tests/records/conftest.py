import pytest

from tests.records.copies import real_run


@pytest.fixture(scope="package")
def run(tmp_path_factory):
    return real_run(tmp_path_factory.mktemp("real"))

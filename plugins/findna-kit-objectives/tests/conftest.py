"""Settings of the session: one thread, a temporary cache folder, and property tests with the same examples every time."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch reads it

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("objectives", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("objectives")


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    """Use one cache folder, so that the genome is read into the token store once per session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FINDNA_KIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield

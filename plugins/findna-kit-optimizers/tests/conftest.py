"""One thread, and a cache folder for the session."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch reads it

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    """The genome is read into the token store once a session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FINDNA_KIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield

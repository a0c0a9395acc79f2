"""`findna-kit components` over fifty components of ten plugins beside importing torch."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

from tests.installing import install

HEAD = """
from pydantic import Field
from findna_kit import hookimpl
from findna_kit.components.interfaces import Augmentation, ComponentConfig
findna_kit_api = 2
"""
ONE = '''
class Idle{n}(Augmentation):
    """Leaves a view as it is, in the {n}th way."""
    class Config(ComponentConfig):
        probability: float = Field(0.5, ge=0, le=1, description="of a sequence to be looked at")
        width: int = Field(3, gt=0, description="bases that are looked at")
    def __call__(self, view, draw):
        return view
'''
HOOK = "\n@hookimpl\ndef findna_kit_register(registry):\n"
PLUGINS, COMPONENTS, ROUNDS = 10, 5, 2
LIMIT = 0.3
"""Seconds of processor time."""


def test_fifty_components_of_ten_plugins_cost_little_beside_torch(tmp_path):
    site = tmp_path / "site"
    for plugin in range(PLUGINS):
        added = "".join(f"    registry.augmentations.add('idle_{plugin}_{n}', Idle{n})\n" for n in range(COMPONENTS))
        install(site, f"findna-many-{plugin}", HEAD + "".join(ONE.format(n=n) for n in range(COMPONENTS)) + HOOK + added)
    names = ",".join(f"many-{plugin}" for plugin in range(PLUGINS))
    env = {**os.environ, "PYTHONPATH": str(site), "FINDNA_KIT_PLUGINS": names, "OMP_NUM_THREADS": "1"}

    def cost(*words):
        """Processor time of a Python, which does not count what others do on this machine; and what it printed."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True, env=env, cwd=tmp_path)
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before, done.stdout

    listed = cost("-m", "findna_kit", "components")[1]  # and the plugins are compiled
    assert listed.count("\nidle_") == PLUGINS * COMPONENTS
    pairs = [(cost("-c", "import torch")[0], cost("-m", "findna_kit", "components")[0]) for _ in range(ROUNDS)]
    torch, components = (min(costs) for costs in zip(*pairs, strict=True))
    assert components - torch < LIMIT, pairs

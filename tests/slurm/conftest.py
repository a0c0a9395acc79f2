"""One Slurm for a session's tests, if this machine can have one; every test here is of the slow stage."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.slurm.starting import CannotStart, cancel_all, started

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(600))  # jobs start, wait, and start again


class Cluster:
    """Commands on the cluster, with its environment."""

    def __init__(self, environment):
        # The nodes' names are Slurm's alone; a real cluster's can be looked up.
        self.environment = {**os.environ, **environment, "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
        self.begun = []

    def start(self, *words, **more):
        self.begun.append(
            subprocess.Popen(
                [str(word) for word in words], env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, **more,
            )
        )  # fmt: skip
        return self.begun[-1]

    def clear(self):
        """Nothing that a test began goes on."""
        for process in self.begun:
            if process.poll() is None:
                process.kill()
                process.communicate()
        self.begun.clear()
        cancel_all(self.environment)

    def ask(self, *words, seconds=120, **more):
        """Exit code, stdout, stderr."""
        process = self.start(*words, **more)
        out, err = process.communicate(timeout=seconds)
        return process.returncode, out, err

    def findna(self, *words):
        return [sys.executable, "-m", "findna_kit", *words]

    def state(self, job):
        return self.ask("squeue", "-h", "--states=all", "-j", job, "-o", "%T")[1].strip()

    def until(self, true, seconds=90, what="it"):
        end = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < end, f"{what} never came to be: {self.ask('squeue', '--states=all')[1]}"
            time.sleep(0.1)
        return found


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    try:
        with started(tmp_path_factory.mktemp("slurm")) as environment:
            yield Cluster(environment)
    except CannotStart as why:
        pytest.skip(f"no Slurm: {why}")


@pytest.fixture(autouse=True)
def _cleared(cluster):
    yield
    cluster.clear()

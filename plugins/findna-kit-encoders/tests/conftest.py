"""Fixtures that call the command line in this process, and that train for a few steps."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest

from findna_kit.cli import main

SMALL = (
    "steps=2", "data.batch_size=4", "data.length=40", "trainer.validation_windows=8", "trainer.log_every=1",
    "evaluation.tasks=[]",
)  # fmt: skip


@pytest.fixture(scope="session")
def findna():
    """Return a function that runs `findna-kit ARGUMENTS` and returns its exit code and stderr."""

    def command(*arguments):
        err = io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            redirect_stdout(io.StringIO()),
            redirect_stderr(err),
            pytest.raises(SystemExit) as left,
        ):
            patch.setattr(sys, "argv", ["findna-kit", *map(str, arguments)])
            main()
        return left.value.code or 0, err.getvalue()

    return command


@pytest.fixture(scope="session")
def encoder_run(findna):
    """Return a function that trains a recipe for two small steps and returns the run's folder."""

    def run(recipe, folder, *settings):
        code, err = findna("run", recipe, "--out", folder, *(word for one in (*SMALL, *settings) for word in ("--set", one)))
        assert code == 0, err
        return folder

    return run

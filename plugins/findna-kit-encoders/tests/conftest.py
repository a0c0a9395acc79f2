"""The command line in this process, and a run of a few steps by it."""

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
    """`findna-kit ARGUMENTS`: its exit code and what it says on stderr."""

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
    """The folder of two small steps of a recipe."""

    def run(recipe, folder, *settings):
        code, err = findna("run", recipe, "--out", folder, *(word for one in (*SMALL, *settings) for word in ("--set", one)))
        assert code == 0, err
        return folder

    return run

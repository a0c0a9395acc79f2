"""A process that has imported the kit, and forks for each command: a process of its own for a tenth of its start-up time.

Starting Python and importing torch takes longer than most commands that tests call. The server only imports; it computes
nothing and has one thread, so that a fork of it is a process in the state that `python -m findna_kit` has before `main`.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from findna_kit import cli

ROOT = Path(__file__).resolve().parents[1]
AT_START = ("PYTHON", "OMP_", "MKL_", "LD_", "CUDA_", "COVERAGE_")
"""Beginnings of variables that Python and the libraries read when they start: with other values a fork would not do."""


class CommandServer:
    """The client's side. Ends with the process that made it: the server reads the end of its standard input."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.command_server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            start_new_session=True,
        )  # fmt: skip
        self._environment = {name: value for name, value in os.environ.items() if name.startswith(AT_START)}

    @property
    def running(self):
        """Return whether the server has not ended."""
        return self._process.poll() is None

    def serves(self, environment):
        """Return whether the server was started with the variables that matter at a start."""
        now = {name: value for name, value in environment.items() if name.startswith(AT_START)}
        return now == self._environment

    def run(self, arguments, *, cwd, environment, timeout):
        """Run the command and return what `subprocess.run` does. Raises TimeoutExpired, after which the server is gone."""
        line = ["findna-kit", *arguments]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            request = {
                "arguments": arguments, "cwd": os.fspath(cwd or os.getcwd()), "environment": environment,
                "out": f"/proc/{os.getpid()}/fd/{out.fileno()}", "err": f"/proc/{os.getpid()}/fd/{err.fileno()}",
            }  # fmt: skip
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            expired = threading.Event()
            timer = threading.Timer(timeout, lambda: (expired.set(), os.killpg(self._process.pid, signal.SIGKILL)))
            timer.start()
            answer = self._process.stdout.readline()
            timer.cancel()
            texts = []
            for file in (out, err):
                file.seek(0)
                # As `text=True` reads them: line ends of any kind are newlines.
                texts.append(file.read().decode().replace("\r\n", "\n").replace("\r", "\n"))
        if expired.is_set():
            raise subprocess.TimeoutExpired(line, timeout, *texts)
        if not answer:
            raise RuntimeError(f"the server of commands ended in {line}")
        return subprocess.CompletedProcess(line, int(answer), *texts)


def _serve():
    """Answer each request, a line of JSON, with the exit code of its command; a signal's number is negative."""
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(request)
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(request):
    """Turn this fork into the command: its folder, variables, arguments and streams."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [str(ROOT / "findna_kit" / "__main__.py"), *request["arguments"]]
    sys.path[0] = request["cwd"]
    null = os.open(os.devnull, os.O_RDONLY)
    out, err = (os.open(request[name], os.O_WRONLY) for name in ("out", "err"))
    for here, there in ((null, 0), (out, 1), (err, 2)):
        os.dup2(here, there)
        os.close(here)
    # What asks for the main module, to start it again, finds that of the command.
    sys.modules["__main__"] = importlib.import_module("findna_kit.__main__")
    cli.main()


def _import():
    """Import what commands import, so that forks have it."""
    for name in (
        "runs",
        "evaluation",
        "study.run",
        "report",
        "inference.embedding",
        "exchange",
        "profile",
        "api.run",
        "trainer",
    ):
        importlib.import_module(f"findna_kit.{name}")
    for module in pkgutil.walk_packages(cli.__path__, "findna_kit.cli."):
        importlib.import_module(module.name)


if __name__ == "__main__":
    _import()
    _serve()

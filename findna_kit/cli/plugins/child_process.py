"""The processes in which `plugins doctor` imports plugins, with a time limit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit.cli.plugins.examine import Examination, identity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.plugins.entry_points import PluginEntry

_GRACE = 2.0
"""Seconds beyond the limit in which the process can still write where it hangs."""
# The search path is set before the kit is imported, so that the child finds the same packages as this process.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1])['path']; from findna_kit.cli.plugins.examine import main; main()"
)


class ChildResult(Examination):
    """The result of a process, with all that it printed."""

    output: str


def examine_all(entries: Sequence[PluginEntry], seconds: float) -> list[ChildResult]:
    """Return the result of each plugin in order. As many processes run at a time as there are processors."""
    with tempfile.TemporaryDirectory() as folder:
        waiting = [_Child(entry, Path(folder), str(number), seconds) for number, entry in enumerate(entries)]
        children, running = list(waiting), list[_Child]()
        try:
            while waiting or running:
                # As many at a time as there are cores, so that the time limits mean something.
                while waiting and len(running) < (os.cpu_count() or 1):
                    child = waiting.pop(0)
                    child.start()
                    running.append(child)  # after its start, because only a started process can be killed
                running = [child for child in running if not child.has_ended()]
                time.sleep(0.01)
        finally:
            for child in running:
                child.kill()
        return [child.result() for child in children]


class _Child:
    """The process that examines one plugin."""

    def __init__(self, entry: PluginEntry, folder: Path, name: str, seconds: float) -> None:
        self._entry, self._seconds = entry, seconds
        self._result, self._output = folder / f"{name}.json", folder / f"{name}.txt"
        self._process: subprocess.Popen[bytes]
        self._deadline = 0.0
        self._timed_out = False

    def start(self) -> None:
        """Start the process with the module search path of this one.

        Its output goes to a file: unlike a pipe, a file cannot fill up and block the process.
        """
        request = {"path": sys.path, "offer": identity(self._entry), "seconds": self._seconds, "result": str(self._result)}
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - this Python with arguments of our own
                # -P: the working directory is not searched for modules; a new session: the whole group can be killed.
                [sys.executable, "-P", "-c", _PROGRAM, json.dumps(request)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        # At its limit the child writes where it hangs, but it does not stop by itself: this process kills it a little later.
        self._deadline = time.monotonic() + self._seconds + _GRACE

    def has_ended(self) -> bool:
        """Return whether the process has ended; kill it at the deadline."""
        if self._process.poll() is None and time.monotonic() > self._deadline:
            self._timed_out = True
            self.kill()
        return self._process.poll() is not None

    def kill(self) -> None:
        """Kill the process and all that it started."""
        # The whole group, because a plugin may have started processes of its own.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def result(self) -> ChildResult:
        """Return what the process reported, or why it did not."""
        result: Examination = {"api": None, "brings": {}, "failure": None, "trace": None}
        failure = self._failure()
        # A result and a failure can come together, for example where an atexit function of the plugin fails after the import.
        if self._result.is_file():
            result = json.loads(self._result.read_text(encoding="utf-8"))
            failure = failure and f"could be imported, but then {failure}"
        elif failure is None:
            failure = "ended Python while it was imported, with exit code 0"
        output = self._output.read_text(encoding="utf-8", errors="replace")
        return {**result, "failure": result["failure"] or failure, "output": output}

    def _failure(self) -> str | None:
        """Return how the process failed, or None if it ended with exit code 0."""
        code = self._process.returncode
        if self._timed_out:
            return f"had not finished after {self._seconds:g} s"
        if code < 0:
            return f"the process was killed by {signal.Signals(-code).name}"
        return f"the process ended with exit code {code}" if code else None

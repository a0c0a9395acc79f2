"""The processes in which `plugins doctor` imports plugins."""

import os
import subprocess
from importlib.metadata import EntryPoint

import pytest

from findna_kit.cli.plugins import child_process
from findna_kit.plugins.entry_points import COMPONENTS


def test_where_a_process_cannot_be_started_those_that_run_are_killed(monkeypatch):
    started, start = [], subprocess.Popen

    def popen(words, **options):
        if len(started) == 2:
            raise OSError("no process can be started")
        started.append(start(["sleep", "300"], **options))
        return started[-1]

    monkeypatch.setattr(child_process.subprocess, "Popen", popen)
    monkeypatch.setattr(child_process, "identity", lambda entry: [])
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    with pytest.raises(OSError, match="no process can be started"):
        child_process.examine_all([EntryPoint(f"p{n}", "nowhere", COMPONENTS) for n in range(4)], 60.0)
    assert [process.poll() for process in started] == [-9, -9]

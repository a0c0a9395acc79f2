"""Benchmark of start-up: the time of a fresh process to import the package, and to print the command's help."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.report import AS_WRITTEN, Row
from benchmarks.turns import Spread

IMPORT_LIMIT, HELP_LIMIT = 0.3, 0.6
_IMPORT = "import sys, findna_kit; assert 'torch' not in sys.modules, 'import findna_kit imports torch'"


def start_up_rows(rounds: int) -> list[Row]:
    """Measure the seconds of whole processes, with the interpreter's start. The first one fills caches and does not count."""
    commands = {
        "import findna_kit, without torch": ((sys.executable, "-c", _IMPORT), IMPORT_LIMIT),
        "findna-kit --help": ((sys.executable, "-m", "findna_kit", "--help"), HELP_LIMIT),
    }
    rows = []
    for what, (command, limit) in commands.items():
        _, *seconds = [_seconds(command) for _ in range(rounds + 1)]
        rows.append(Row(what, {AS_WRITTEN: Spread(tuple(seconds))}, limit, most=True))
    return rows


def _seconds(command: tuple[str, ...]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began

"""Benchmark of a training step's peak memory. Each side runs in its own process, since a process never resets its peak.

`python -m benchmarks.memory SIDE SIZE BATCH PRECISION` is such a process. Linux only: it reads /proc.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.recipes import SIZES
from benchmarks.report import AS_WRITTEN, IMPROVED, Row
from benchmarks.step import IMPROVED_ROWS, Ours, Theirs
from benchmarks.turns import Spread

if TYPE_CHECKING:
    from benchmarks.recipes import Size
    from findna_kit.distributed import Precision

STATUS = Path("/proc/self/status")
OURS = "kit"


def memory_row(size: Size, batch: int, precision: Precision, rounds: int, bar: float) -> Row:
    """Measure the reference's memory relative to the kit's, for two steps, above what the process used before them."""
    columns = (AS_WRITTEN, IMPROVED) if batch > IMPROVED_ROWS else (AS_WRITTEN,)
    ratios_of: dict[str, list[float]] = {column: [] for column in columns}
    for _ in range(rounds):
        kit = peak_in_a_process(OURS, size, batch, precision)
        for column in columns:
            ratios_of[column].append(peak_in_a_process(column, size, batch, precision) / kit)
    figures = {column: Spread(tuple(values)) for column, values in ratios_of.items()}
    return Row(f"memory of a step, {size.name}, batch {batch}, {precision}", figures, bar)


def peak(side: str, size: Size, batch: int, precision: Precision) -> int:
    """Return the peak of bytes that two steps add to this process; a tiny step first triggers all lazy loading."""
    _take_steps(side, SIZES["tiny"], 2, precision)
    before = _status("VmRSS")
    _take_steps(side, size, batch, precision)
    return _status("VmHWM") - before


def _take_steps(side: str, size: Size, batch: int, precision: Precision) -> None:
    ours = Ours(size, batch, precision)
    step = ours.step
    if side != OURS:
        given, tokens = ours.batch, ours.experiment.student.class_tokens
        del ours, step  # the kit's weights must not count as the reference's memory
        step = Theirs(size, given, tokens, precision, IMPROVED_ROWS if side == IMPROVED else None).step
    step()
    step()


def _status(name: str) -> int:
    """Return an entry of /proc/self/status in bytes. (`resource.getrusage` would include the parent process's peak.)"""
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


def peak_in_a_process(side: str, size: Size, batch: int, precision: Precision) -> int:
    """Return `peak` of a new process."""
    arguments = [side, size.name, str(batch), precision]
    done = subprocess.run([sys.executable, "-m", "benchmarks.memory", *arguments], capture_output=True, text=True, check=True)
    return int(done.stdout)


if __name__ == "__main__":
    _side, _size, _batch, _precision = sys.argv[1:]
    print(peak(_side, SIZES[_size], int(_batch), _precision))  # type: ignore[arg-type]

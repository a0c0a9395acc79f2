"""Peak memory of a training step, each side in a separate process, because the peak of a process never decreases.

`python -m benchmarks.memory SIDE SIZE BATCH PRECISION` is such a process. Linux only, because it reads /proc.
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
    """Return the reference's memory for two steps, divided by the kit's; memory used before the model is built is excluded."""
    columns = (AS_WRITTEN, IMPROVED) if batch > IMPROVED_ROWS else (AS_WRITTEN,)
    found: dict[str, list[float]] = {column: [] for column in columns}
    for _ in range(rounds):
        own = peak_in_a_process(OURS, size, batch, precision)
        for column in columns:
            found[column].append(peak_in_a_process(column, size, batch, precision) / own)
    figures = {column: Spread(tuple(values)) for column, values in found.items()}
    return Row(f"memory of a step, {size.name}, batch {batch}, {precision}", figures, bar)


def peak(side: str, size: Size, batch: int, precision: Precision) -> int:
    """Return the peak memory, in bytes, that two steps add to this process. A tiny step first triggers late imports."""
    _take_steps(side, SIZES["tiny"], 2, precision)
    before = _status("VmRSS")
    _take_steps(side, size, batch, precision)
    return _status("VmHWM") - before


def _take_steps(side: str, size: Size, batch: int, precision: Precision) -> None:
    ours = Ours(size, batch, precision)
    step = ours.step
    if side != OURS:
        given, tokens = ours.batch, ours.experiment.student.class_tokens
        del ours, step  # do not count the kit's weights as the reference's memory
        step = Theirs(size, given, tokens, precision, IMPROVED_ROWS if side == IMPROVED else None).step
    step()
    step()


def _status(name: str) -> int:
    """Return a value in bytes. `resource.getrusage` is unsuitable: a process inherits that peak from its parent."""
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


def peak_in_a_process(side: str, size: Size, batch: int, precision: Precision) -> int:
    arguments = [side, size.name, str(batch), precision]
    done = subprocess.run([sys.executable, "-m", "benchmarks.memory", *arguments], capture_output=True, text=True, check=True)
    return int(done.stdout)


if __name__ == "__main__":
    _side, _size, _batch, _precision = sys.argv[1:]
    print(peak(_side, SIZES[_size], int(_batch), _precision))  # type: ignore[arg-type]

"""`python -m benchmarks`: measure, print a table, and with --check fail if a limit is missed."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as findna-kit does; torch reads it when it is imported

import torch

from benchmarks.data import view_rows, window_rows
from benchmarks.memory import STATUS, memory_row
from benchmarks.recipes import SIZES
from benchmarks.report import HEADER, line, machine, write
from benchmarks.start_up import start_up_rows
from benchmarks.step import compiled_row, noise_row, step_row
from findna_kit.distributed import choose_precision
from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.report import Row
    from findna_kit.distributed import Precision

CHECKED_STEP, MEMORY = 0.9, 0.9
"""Limits for a target ratio of 1, since the measurement itself varies by up to 8 % (docs/benchmarks.md)."""
MISSED = 3


def main(given: Sequence[str] | None = None) -> int:
    """Return the exit code: 0, or 3 if --check finds a missed limit; argparse exits with 2 for a wrong argument."""
    arguments = _arguments(given)
    environment = ", ".join(f"{name} {value}" for name, value in machine().items())
    print(f"{environment}\n\n{HEADER}", flush=True)
    rows = []
    for row in checked() if arguments.check else measured(full=arguments.full):
        rows.append(row)
        print(line(row), flush=True)  # at once: the whole table takes long, and may be interrupted
    if arguments.json is not None:
        write(arguments.json, rows)
    missed = [row for row in rows if not row.met]
    print(f"\n{len(missed)} of {sum(row.bar is not None for row in rows)} limits missed")
    return MISSED if arguments.check and missed else 0


def _arguments(given: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--check", action="store_true", help="small sizes, under 90 s; exit code 3 if a limit is missed")
    parser.add_argument("--full", action="store_true", help="also the paper's network at batch size 64: many minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing FILE")
    arguments = parser.parse_args(given)
    if arguments.check and arguments.full:
        parser.error("--check and --full exclude each other")
    if arguments.json is not None and arguments.json.exists() and not arguments.overwrite:
        parser.error(f"{arguments.json}: exists already; name another, or use --overwrite")
    return arguments


def checked() -> Iterator[Row]:
    """Yield the rows of --check."""
    yield from start_up_rows(5)
    yield from window_rows(64, 5)
    yield from view_rows(1024, 5)
    yield step_row(SIZES["recipe"], 8, "fp32", 9, CHECKED_STEP)


def measured(*, full: bool) -> Iterator[Row]:
    """Yield the rows of a full measurement."""
    yield from start_up_rows(9)
    for batch in (64, 1024):
        yield from window_rows(batch, 7)
        yield from view_rows(batch, 7)
    for precision in _precisions():
        yield noise_row(SIZES["recipe"], 8, precision, 15)
        for size, batch, rounds in _grid(full=full):
            yield step_row(SIZES[size], batch, precision, rounds, 1.0)
        try:
            yield compiled_row(SIZES["recipe"], 64, precision, 7)
        except FindnaError as error:  # no compiler on this machine
            print(f"trainer.compile is not measured: {error}", file=sys.stderr)
        for size, batch, _ in _grid(full=full) if STATUS.exists() else ():
            rounds = 1 if (size, batch) == ("paper", 64) else 3  # 4 minutes each, and memory varies little
            yield memory_row(SIZES[size], batch, precision, rounds, MEMORY)


def _grid(*, full: bool) -> list[tuple[str, int, int]]:
    """Return network, batch size and number of rounds; slow measurements have fewer rounds."""
    grid = [("recipe", batch, 15) for batch in (1, 4, 8, 16, 64)]
    grid += [("paper", 1, 7), ("paper", 8, 5)]
    return [*grid, ("paper", 64, 3)] if full else grid


def _precisions() -> list[Precision]:
    """Return the precisions to measure; bf16 only if the processor has it, since both sides would emulate it otherwise."""
    native = choose_precision("auto", torch.device("cpu"))
    return ["fp32", "bf16"] if native == "bf16" else ["fp32"]


if __name__ == "__main__":
    sys.exit(main())

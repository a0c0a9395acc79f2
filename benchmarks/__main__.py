"""`python -m benchmarks`: measure, print a table, and with --check fail if a threshold is missed."""

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
"""Thresholds for a ratio of 1: measurements vary by up to 8 % (docs/benchmarks.md)."""
MISSED = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks and return the exit code: 0, or 3 if --check finds a missed threshold; 2 for a wrong argument."""
    arguments = _arguments(argv)
    system = ", ".join(f"{name} {value}" for name, value in machine().items())
    print(f"{system}\n\n{HEADER}", flush=True)
    rows = []
    for row in checked() if arguments.check else measured(full=arguments.full):
        rows.append(row)
        print(line(row), flush=True)  # row by row: the whole table takes long and may be interrupted
    if arguments.json is not None:
        write(arguments.json, rows)
    missed = [row for row in rows if not row.met]
    print(f"\n{len(missed)} of {sum(row.bar is not None for row in rows)} thresholds missed")
    return MISSED if arguments.check and missed else 0


def _arguments(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="Run small sizes, under 90 s; exit with 3 if a threshold is missed."
    )
    parser.add_argument("--full", action="store_true", help="Run the paper's network at batch size 64 too; takes many minutes.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the figures to FILE.")
    parser.add_argument("--overwrite", action="store_true", help="Replace an existing FILE.")
    arguments = parser.parse_args(argv)
    if arguments.check and arguments.full:
        parser.error("--check and --full are mutually exclusive")
    if arguments.json is not None and arguments.json.exists() and not arguments.overwrite:
        parser.error(f"{arguments.json}: exists already; choose another name, or use --overwrite")
    return arguments


def checked() -> Iterator[Row]:
    yield from start_up_rows(5)
    yield from window_rows(64, 5)
    yield from view_rows(1024, 5)
    yield step_row(SIZES["recipe"], 8, "fp32", 9, CHECKED_STEP)


def measured(*, full: bool) -> Iterator[Row]:
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
        except FindnaError as error:
            print(f"trainer.compile was not measured: {error}", file=sys.stderr)
        for size, batch, _ in _grid(full=full) if STATUS.exists() else ():
            rounds = 1 if (size, batch) == ("paper", 64) else 3  # a round takes 4 minutes, and gigabytes vary little
            yield memory_row(SIZES[size], batch, precision, rounds, MEMORY)


def _grid(*, full: bool) -> list[tuple[str, int, int]]:
    """Return network, batch size and number of rounds: fewer rounds for what takes longer."""
    grid = [("recipe", batch, 15) for batch in (1, 4, 8, 16, 64)]
    grid += [("paper", 1, 7), ("paper", 8, 5)]
    return [*grid, ("paper", 64, 3)] if full else grid


def _precisions() -> list[Precision]:
    """Return the precisions to measure: bf16 only on processors that support it; elsewhere both sides would emulate it."""
    native = choose_precision("auto", torch.device("cpu"))
    return ["fp32", "bf16"] if native == "bf16" else ["fp32"]


if __name__ == "__main__":
    sys.exit(main())

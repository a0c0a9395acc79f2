"""`python -m benchmarks.plan RECIPE...`: compare the training time that `findna-kit plan` predicts with that of a run.

Plan and run alternate, each called as a user would call it, so that a disturbance of the machine affects both. On a busy
machine wall-clock time means little; `--processor` makes both count processor time instead.
"""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

RECIPES = ("self_distill", "masked_only", "info_nce")
AS_A_USER = ("-m", "findna_kit")
BY_PROCESSOR = (
    "-c",
    "import runpy, time; time.perf_counter = time.process_time; "
    "runpy.run_module('findna_kit', run_name='__main__', alter_sys=True)",
)
"""Interpreter arguments that call the command."""


def main() -> None:
    """Print one row for each recipe."""
    parser = ArgumentParser(prog="python -m benchmarks.plan", description=__doc__)
    parser.add_argument("recipes", nargs="*", default=RECIPES, metavar="RECIPE", help=f"[default: {' '.join(RECIPES)}]")
    parser.add_argument("--steps", type=int, default=200, help="steps of each run [default: 200]")
    parser.add_argument("--rounds", type=int, default=2, help="plans and runs of each recipe [default: 2]")
    parser.add_argument("--processor", action="store_true", help="count processor time instead of wall-clock time")
    arguments = parser.parse_args()
    call = BY_PROCESSOR if arguments.processor else AS_A_USER
    print("| recipe | planned, s | taken, s | planned / taken |\n| --- | --- | --- | --- |", flush=True)
    for recipe in arguments.recipes:
        rounds = [_round(call, recipe, arguments.steps) for _ in range(arguments.rounds)]
        planned, taken = (", ".join(f"{one[index]:.1f}" for one in rounds) for index in (0, 1))
        ratio = median(one[0] / one[1] for one in rounds)
        print(f"| {recipe} | {planned} | {taken} | {ratio:.2f} |", flush=True)


def _round(call: Sequence[str], recipe: str, steps: int) -> tuple[float, float]:
    """Return the planned and the measured seconds of training."""
    overrides = ["--set", f"steps={steps}", "--set", "evaluation.tasks=[]"]
    planned = json.loads(_output(call, "plan", recipe, *overrides, "--json"))["finish"]["seconds"]
    with TemporaryDirectory() as folder:
        _output(call, "run", recipe, *overrides, "--out", f"{folder}/run")
        taken = json.loads(Path(folder, "run", "run.json").read_text())["timings"]["training_seconds"]
    return planned, taken


def _output(call: Sequence[str], *words: str) -> str:
    """Return what the command prints."""
    done = subprocess.run([sys.executable, *call, *words], capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    main()

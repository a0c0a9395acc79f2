"""`python -m benchmarks.plan RECIPE...`: what `findna-kit plan` says a recipe's training takes, beside what a run of it takes.

Plan and run are called in turns, each as a user would, so that what disturbs the machine for a while disturbs both. On one that
others keep busy the clock says little: `--processor` has both of them count the seconds of their processor instead.
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
"""How the command is called."""


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.plan", description=__doc__)
    parser.add_argument("recipes", nargs="*", default=RECIPES, metavar="RECIPE", help=f"[default: {' '.join(RECIPES)}]")
    parser.add_argument("--steps", type=int, default=200, help="of each run [default: 200]")
    parser.add_argument("--rounds", type=int, default=2, help="plans and runs of each recipe [default: 2]")
    parser.add_argument("--processor", action="store_true", help="seconds of the processor, not of the clock")
    arguments = parser.parse_args()
    how = BY_PROCESSOR if arguments.processor else AS_A_USER
    print("| recipe | planned, s | taken, s | planned / taken |\n| --- | --- | --- | --- |", flush=True)
    for recipe in arguments.recipes:
        rounds = [_round(how, recipe, arguments.steps) for _ in range(arguments.rounds)]
        planned, taken = (", ".join(f"{one[place]:.1f}" for one in rounds) for place in (0, 1))
        ratio = median(one[0] / one[1] for one in rounds)
        print(f"| {recipe} | {planned} | {taken} | {ratio:.2f} |", flush=True)


def _round(how: Sequence[str], recipe: str, steps: int) -> tuple[float, float]:
    """Seconds, planned and taken."""
    stated = ["--set", f"steps={steps}", "--set", "evaluation.tasks=[]"]
    planned = json.loads(_said(how, "plan", recipe, *stated, "--json"))["finish"]["seconds"]
    with TemporaryDirectory() as folder:
        _said(how, "run", recipe, *stated, "--out", f"{folder}/run")
        taken = json.loads(Path(folder, "run", "run.json").read_text())["timings"]["training_seconds"]
    return planned, taken


def _said(how: Sequence[str], *words: str) -> str:
    done = subprocess.run([sys.executable, *how, *words], capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    main()

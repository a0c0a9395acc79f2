"""`python -m benchmarks.plan RECIPE...`: compare the training time that `findna-kit plan` estimates with that of a run.

Plan and run are called in turns, each as a user would, so that temporary load affects both. On a busy machine wall-clock time
is unreliable; `--processor` measures processor time of both instead.
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
"""Python arguments that run the command, by wall-clock or by processor time."""


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.plan", description=__doc__)
    parser.add_argument("recipes", nargs="*", default=RECIPES, metavar="RECIPE", help=f"[default: {' '.join(RECIPES)}]")
    parser.add_argument("--steps", type=int, default=200, help="Steps of each run [default: 200].")
    parser.add_argument("--rounds", type=int, default=2, help="Plans and runs of each recipe [default: 2].")
    parser.add_argument("--processor", action="store_true", help="Measure processor time instead of wall-clock time.")
    arguments = parser.parse_args()
    how = BY_PROCESSOR if arguments.processor else AS_A_USER
    print("| recipe | planned, s | measured, s | planned / measured |\n| --- | --- | --- | --- |", flush=True)
    for recipe in arguments.recipes:
        rounds = [_round(how, recipe, arguments.steps) for _ in range(arguments.rounds)]
        planned, measured = (", ".join(f"{pair[index]:.1f}" for pair in rounds) for index in (0, 1))
        ratio = median(plan / run for plan, run in rounds)
        print(f"| {recipe} | {planned} | {measured} | {ratio:.2f} |", flush=True)


def _round(how: Sequence[str], recipe: str, steps: int) -> tuple[float, float]:
    """Return planned and measured seconds."""
    overrides = ["--set", f"steps={steps}", "--set", "evaluation.tasks=[]"]
    planned = json.loads(_stdout(how, "plan", recipe, *overrides, "--json"))["finish"]["seconds"]
    with TemporaryDirectory() as folder:
        _stdout(how, "run", recipe, *overrides, "--out", f"{folder}/run")
        measured = json.loads(Path(folder, "run", "run.json").read_text())["timings"]["training_seconds"]
    return planned, measured


def _stdout(how: Sequence[str], *words: str) -> str:
    done = subprocess.run([sys.executable, *how, *words], capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    main()

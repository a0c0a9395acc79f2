"""The command that measures before it trains: plan."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from findna_kit.cli import loading
from findna_kit.cli.progress import reading_bar, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def plan(
    source: str, *, device: str, steps: int, as_json: bool, overrides: Sequence[str], without: Sequence[str]
) -> None:  # fmt: skip
    """Prints what a run of the recipe would cost."""
    from findna_kit.runs.plan import plan as measured

    recipe, _, _ = loading.load(source, overrides, without)
    loading.refuse_bad_files(recipe)
    with reading_bar() as reading:
        result = measured(recipe, device=device, steps=steps, say=loading.say, reading=reading)
    if as_json:
        print(json.dumps(result, indent=1))
        return
    table([["parameters", "number"], *([name, f"{number:,}"] for name, number in result["parameters"].items())])
    print()
    table([["memory", "MiB"], *_memory_rows(result["memory"])])
    print()
    if "nothing_to_train" in result:
        print(f"{result['name']}: there is nothing to train: {result['nothing_to_train']}")
    else:
        _print_time(result)


def _memory_rows(memory: Mapping[str, Any]) -> list[list[str]]:
    names = {"weights": "weights of both branches", "optimizer": "optimizer", "gradients": "gradients"}
    rows = [[title, f"{memory[name] / 2**20:,.1f}"] for name, title in names.items()]
    if "peak" in memory:
        rows.append([f"measured peak, {memory['peak_is']}", f"{memory['peak'] / 2**20:,.1f}"])
    return rows


def _print_time(result: Mapping[str, Any]) -> None:
    measured, finish, resolved = result["measured"], result["finish"], result["resolved"]
    step = measured["step_seconds"]
    how = f"{resolved['device']}, {resolved['precision']}, micro-batch {resolved['micro_batch']}, {resolved['threads']} threads"
    table(
        [
            ["time", how],
            [
                "a step",
                f"{step['median']:.3g} s ({step['lowest']:.3g} to {step['highest']:.3g} over {measured['steps']} steps)",
            ],
            ["steps per second", f"{measured['steps_per_second']:.3g}"],
            ["bases per second", f"{measured['bases_per_second']:,.0f}"],
            ["a look at the held-out windows", f"{measured['look_seconds']:.3g} s"],
            ["to finish", f"{timedelta(seconds=round(finish['seconds']))} h:min:s"],
        ]
    )
    print(
        f"\n{result['name']}: {finish['steps']:,} steps and {finish['looks']:,} looks; evaluation, counting baselines and "
        "checkpoints come on top"
    )

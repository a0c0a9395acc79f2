"""Plot a run's curves for the README: `python tools/plot_run.py RUN picture.png`. TensorBoard shows the same curves."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

Row = dict[str, Any]
PALE, STRONG = "#b9c2cc", ("#1b6ca8", "#c8553d")


def curve(rows: list[Row], name: str) -> tuple[list[int], list[float]]:
    """Return steps and values of one metric."""
    found = [(row["step"], row[name]) for row in rows if name in row]
    return [step for step, _ in found], [value for _, value in found]


def draw(rows: list[Row], baselines: dict[str, dict[str, float]], title: str) -> Any:
    """Return a figure with three panels: masked bases and baselines, losses, collapse signals."""
    figure, (bases, losses, signals) = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    for branch, colour in zip(("student", "teacher"), STRONG, strict=True):
        bases.plot(*curve(rows, f"held_out_plain/masked/bits_per_base/{branch}"), color=colour, label=branch)
    for name, scores in baselines.items():
        bases.axhline(scores["bits_per_base"], color=PALE, linewidth=1, zorder=0)
        bases.annotate(
            name.replace("_", " "), (1.0, scores["bits_per_base"]), xycoords=("axes fraction", "data"), fontsize=7, va="center"
        )
    bases.set(title="masked bases, validation", ylabel="bits per base", xlabel="step", ylim=(None, 2.005))
    bases.legend(frameon=False, fontsize=8, loc="upper right")
    for label, colour in zip(("masked", "distill"), STRONG, strict=True):
        losses.plot(*curve(rows, f"{label}/loss"), color=colour, linewidth=1, label=f"{label}, each step")
        losses.plot(
            *curve(rows, f"held_out/{label}/loss"), color=colour, linestyle=":", marker=".", label=f"{label}, validation"
        )
    losses.set(title="losses", ylabel="nats", xlabel="step")
    losses.legend(frameon=False, fontsize=8)
    names = {
        "held_out/distill/teacher_entropy_share": "teacher entropy / ln K",
        "collapse/teacher/pooled_deviation": "pooled deviation",
    }
    for (name, label), colour in zip(names.items(), STRONG, strict=True):
        signals.plot(*curve(rows, name), color=colour, label=label)
    signals.set(title="collapse signals, teacher", xlabel="step", ylim=(0, 1.02))
    signals.legend(frameon=False, fontsize=8)
    for axes in (bases, losses, signals):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=10)
    return figure


def main() -> int:
    """Read a run's folder and write a PNG."""
    if len(sys.argv) != 3:
        print("usage: python tools/plot_run.py RUN picture.png", file=sys.stderr)
        return 2
    run = Path(sys.argv[1])
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    record = json.loads((run / "run.json").read_text())
    took = f"{record['steps']} steps in {record['timings']['training_seconds']:.0f} s"
    title = f"{record['name']}: {took} on {record['resolved']['threads']} CPU threads, seed {record['seed']}"
    draw(rows, record["baselines"], title).savefig(sys.argv[2], dpi=110)
    return 0


if __name__ == "__main__":
    sys.exit(main())

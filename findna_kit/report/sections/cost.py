"""What it took: time, speed, memory."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from findna_kit.report.blocks import Note, Section, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from findna_kit.report.blocks import Block
    from findna_kit.report.folders import Run
    from findna_kit.report.groups import Group

_HEAD = ["", "training time", "steps", "bases per second", "peak memory of its first process", "device"]


def cost_section(part: str, groups: Sequence[Group]) -> Section:
    """A row for each group; of several runs their mean and range."""
    rows = [[group.words, *_told(group)] for group in groups]
    blocks: list[Block] = [Table("What it took", _HEAD, rows)]
    runs = [run for group in groups for run in group.runs]
    said = "Bases per second: mean over the logged rows, held-out looks and checkpoints not counted."
    if len(runs) > len(groups):
        known = [seconds for run in runs if (seconds := run.record.timings.training_seconds) is not None]
        said += f" All {len(known)} runs together were trained for {_time(sum(known))}."
    if any(run.record.peak_memory is None for run in runs):
        said += " Where memory is not recorded, the run is of a version that did not, or has not ended yet."
    return Section(f"{part}-cost", "Cost", [*blocks, Note(said)])


def _told(group: Group) -> list[str]:
    runs = group.runs
    seconds = [one for run in runs if (one := run.record.timings.training_seconds) is not None]
    speeds = [one.total / one.rows for one in group.of("bases_per_second")]
    peaks = [run.record.peak_memory for run in runs if run.record.peak_memory is not None]
    kinds = dict.fromkeys(peak.of for peak in peaks)
    memory = f"{_spread([float(peak.bytes) for peak in peaks], _size)} {' or '.join(kinds)}" if peaks else "not recorded"
    steps = [float(run.last_step) for run in runs if run.last_step is not None]
    return [
        _spread(seconds, _time),
        _spread(steps, lambda value: f"{value:,.0f}"),
        _spread(speeds, lambda value: f"{value:,.0f}"),
        memory,
        " or ".join(dict.fromkeys(_device(run) for run in runs)),
    ]


def _spread(values: Sequence[float], written: Callable[[float], str]) -> str:
    if not values:
        return "not recorded"
    mean, low, high = written(fmean(values)), written(min(values)), written(max(values))
    return mean if low == high else f"{mean} ({low} to {high})"


def _device(run: Run) -> str:
    return run.record.resolved.device or "not recorded"


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _size(number: float) -> str:
    return f"{number / 2**30:.2f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"

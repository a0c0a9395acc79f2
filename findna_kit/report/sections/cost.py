"""Section "Cost": training time, speed and memory."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from findna_kit.report.blocks import Note, Section, TableBlock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from findna_kit.report.blocks import Block
    from findna_kit.report.folders import RunFolder
    from findna_kit.report.groups import Group

_HEAD = ["", "training time", "steps", "bases per second", "peak memory of the main process", "device"]


def cost_section(part: str, groups: Sequence[Group]) -> Section:
    """Return the section, with a row for each group: for several runs their mean and range."""
    rows = [[group.title, *_cost_cells(group)] for group in groups]
    blocks: list[Block] = [TableBlock("Cost of training", _HEAD, rows)]
    runs = [run for group in groups for run in group.runs]
    text = "Bases per second: mean over the logged steps, without validation and checkpoints."
    if len(runs) > len(groups):
        seconds = [value for run in runs if (value := run.record.timings.training_seconds) is not None]
        text += f" Total training time of all {len(seconds)} runs: {_time_text(sum(seconds))}."
    if any(run.record.peak_memory is None for run in runs):
        text += " Where memory is not recorded, the run is not finished, or was made by a version that did not record it."
    return Section(f"{part}-cost", "Cost", [*blocks, Note(text)])


def _cost_cells(group: Group) -> list[str]:
    """Return the cells of one group's row. Runs may lack any value: of an earlier version, or not finished."""
    runs = group.runs
    seconds = [value for run in runs if (value := run.record.timings.training_seconds) is not None]
    speeds = [series.total / series.rows for series in group.of("bases_per_second")]
    peaks = [run.record.peak_memory for run in runs if run.record.peak_memory is not None]
    kinds = dict.fromkeys(peak.of for peak in peaks)
    memory = "not recorded"
    if peaks:
        memory = f"{_mean_and_range([float(peak.bytes) for peak in peaks], _size_text)} {' or '.join(kinds)}"
    steps = [float(run.last_step) for run in runs if run.last_step is not None]
    return [
        _mean_and_range(seconds, _time_text),
        _mean_and_range(steps, lambda value: f"{value:,.0f}"),
        _mean_and_range(speeds, lambda value: f"{value:,.0f}"),
        memory,
        " or ".join(dict.fromkeys(_device(run) for run in runs)),
    ]


def _mean_and_range(values: Sequence[float], text_of: Callable[[float], str]) -> str:
    """Return the mean with the range in parentheses; the mean alone where the values do not differ."""
    if not values:
        return "not recorded"
    # Compared as text: a range whose ends look the same says nothing.
    mean, low, high = text_of(fmean(values)), text_of(min(values)), text_of(max(values))
    return mean if low == high else f"{mean} ({low} to {high})"


def _device(run: RunFolder) -> str:
    return run.record.resolved.device or "not recorded"


def _time_text(seconds: float) -> str:
    """Return a duration in the two largest units that it needs."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _size_text(size: float) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"

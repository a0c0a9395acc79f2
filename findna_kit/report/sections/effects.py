"""Section "Effects": the differences between conditions of a study, with intervals and verdicts."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from findna_kit.report.blocks import Figure, Note, Panel, Section, TableBlock
from findna_kit.report.figures.intervals import Bar, draw_intervals, range_of
from findna_kit.report.sections.scores import keep_intervals_together
from findna_kit.study.tables import condition_rows, legend, main_effect_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from findna_kit.report.blocks import Block
    from findna_kit.report.figures.canvas import Shape
    from findna_kit.report.folders import StudyFolder
    from findna_kit.study.files import StudyResult
    from findna_kit.study.statistics import Effect, MeanInterval

_MARKS: dict[str, tuple[Shape, int]] = {
    "better": ("triangle", 2), "worse": ("diamond", 1), "no difference shown": ("circle", 7),
}  # fmt: skip
"""Shape and colour of each verdict. Shapes differ, so that colour is not needed to tell them apart."""
_TOO_FEW_SEEDS: tuple[Shape, int] = ("cross", 7)
_HOW_TO_READ = (
    "Triangle: better; diamond: worse; circle: no difference shown, which is not evidence of equality; cross: not enough seeds "
    "to say. The verdict follows from the adjusted p in the table, not from the interval."
)


def effects_section(part: str, study: StudyFolder) -> Section:
    """Return the section: differences to the first condition, as a figure and as the table that `ablate` prints."""
    title, key = "Effects", f"{part}-effects"
    if study.result is None:
        command = f"findna-kit ablate STUDY.yaml --out {shlex.quote(str(study.folder))}"
        text = "The study is not finished, so there is nothing to compare yet. Run the same command to complete it:"
        return Section(key, title, [Note(text, missing=True, command=command)])
    return Section(key, title, _blocks(key, study.result))


def _blocks(key: str, result: StudyResult) -> list[Block]:
    """Return the legend, the figures with their tables, and how to read them."""
    first = next(iter(result.conditions))
    level = f"{result.interval.level:.0%} intervals"
    caption = f"Difference of each condition to {first}, with {level}"
    blocks: list[Block] = [
        Note(legend(result)),
        _forest_plot(key, caption, "Result", result.effects, condition_rows(result), result),
    ]
    if result.main_effects:
        effects = {main.label: main.effect for main in result.main_effects.levels}
        caption = f"Main effect of each level, averaged over all levels of the other factors, with {level}"
        blocks.append(_forest_plot(f"{key}-main", caption, "Main effects", effects, main_effect_rows(result), result))
    text = _HOW_TO_READ
    if len(result.tasks) > 1:
        text += " Single tasks have intervals only: the study is judged over all tasks together."
    return [*blocks, Note(text), _seed_table(result)]


def _forest_plot(
    key: str, caption: str, title: str, effects: Mapping[str, Effect], rows: Sequence[Sequence[str]], result: StudyResult
) -> Figure:
    """Return a forest plot of a family's effects, over all tasks and for each task, with its table."""
    bars_by_heading = {
        f"all tasks: {result.metric}": [_bar(name, effect.overall, effect.verdict) for name, effect in effects.items()]
    }
    if len(result.tasks) > 1:
        bars_by_heading |= {
            f"{task}: {result.metric}": [_bar(name, effect.by_task[task], None) for name, effect in effects.items()]
            for task in result.tasks
        }
    # One range for all panels, so that lengths can be compared between tasks.
    values = range_of([bar for bars in bars_by_heading.values() for bar in bars], zero=True)
    panels = [
        Panel(
            heading,
            draw_intervals(
                f"{key}-{number}", heading, ". ".join(f"{bar.name}: {bar.text}" for bar in bars), bars, axis="difference",
                values=values, zero=True,
            ),
        )
        for number, (heading, bars) in enumerate(bars_by_heading.items())
    ]  # fmt: skip
    head, *body = rows
    return Figure(caption, panels, TableBlock(title, head, [keep_intervals_together(row) for row in body]))


def _bar(name: str, interval: MeanInterval, verdict: str | None) -> Bar:
    """Return a bar of the forest plot. verdict: None for a single task, which is not tested."""
    ends = "" if interval.low is None else f" [{interval.low:+.3f}, {interval.high:+.3f}]"
    bar_style: tuple[Shape, int] = ("square", 7) if verdict is None else _MARKS.get(verdict, _TOO_FEW_SEEDS)
    text = f"{interval.value + 0.0:+.3f}{ends}" + (f" {verdict}" if verdict else "")  # adding 0.0 removes a negative zero
    return Bar(name, text, interval.value, interval.low, interval.high, *bar_style)


def _seed_table(result: StudyResult) -> TableBlock:
    """Return the table of every seed's score."""
    rows = [
        [f"{name}, {task}", *(f"{score:.3f}" for score in scores.each)]
        for name, condition in result.conditions.items()
        for task, scores in condition.scores.items()
    ]
    head = ["condition and task", *(f"seed {seed}" for seed in result.seeds)]
    return TableBlock(f"{result.metric} of every seed", head, rows, folded=True)

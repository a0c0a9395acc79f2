"""What a study found: as result.json has it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from findna_kit.report.blocks import Figure, Note, Panel, Section, Table
from findna_kit.report.figures.intervals import Bar, draw_intervals, range_of
from findna_kit.report.sections.scores import together, written_by
from findna_kit.study.results import legend, main_name, main_rows, rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from findna_kit.report.blocks import Block
    from findna_kit.report.figures.canvas import Shape
    from findna_kit.report.folders import StudyFolder

_LOOK: dict[str, tuple[Shape, int]] = {"better": ("triangle", 2), "worse": ("diamond", 1), "no difference shown": ("circle", 7)}
_UNSAID: tuple[Shape, int] = ("cross", 7)
_READ = (
    "Triangle: better; diamond: worse; circle: no difference shown, which is not the same as no difference; cross: not enough "
    "seeds to say. All by the adjusted p of the table, not by the interval."
)


def effects_section(part: str, of: StudyFolder) -> Section:
    """Differences to the first condition, drawn and in the table that `ablate` prints."""
    title, key = "Effects", f"{part}-effects"
    if of.result is None:
        call = f"findna-kit ablate STUDY.yaml --out {shlex.quote(str(of.folder))}"
        said = "Not finished yet, so nothing is compared: the same call goes on with what is missing."
        return Section(key, title, [Note(said, missing=True, command=call)])
    with written_by(of.folder / "result.json", "ablate"):
        return Section(key, title, _effects(key, of.result))


def _effects(key: str, result: Mapping[str, Any]) -> list[Block]:
    first = next(iter(result["conditions"]))
    effects = {name: one["effect"] for name, one in result["conditions"].items() if "effect" in one}
    between = f"{result['interval']['level']:.0%} intervals"
    blocks: list[Block] = [
        Note(legend(result)),
        _forest(key, f"Difference of each condition to {first}, with {between}", "Result", effects, rows(result), result),
    ]
    if "main_effects" in result:
        mains = {main_name(one): one["effect"] for one in result["main_effects"]["levels"]}
        caption = f"Main effect of each level, over all levels of the other factors, with {between}"
        blocks.append(_forest(f"{key}-main", caption, "Main effects", mains, main_rows(result), result))
    alone = " Of single tasks intervals alone are given: the study is judged over all of them." * (len(result["tasks"]) > 1)
    return [*blocks, Note(_READ + alone), _seeds(result)]


def _forest(
    key: str, caption: str, title: str, effects: Mapping[str, Mapping[str, Any]], told: list[list[str]],
    result: Mapping[str, Any],
) -> Figure:  # fmt: skip
    """A family's effects, over all tasks and on each alone, with its table."""
    metric = result["study"]["metric"]
    every = {f"all tasks: {metric}": [_bar(name, one["overall"], one) for name, one in effects.items()]}
    if len(result["tasks"]) > 1:
        every |= {
            f"{task} alone: {metric}": [_bar(name, one["by_task"][task], None) for name, one in effects.items()]
            for task in result["tasks"]
        }
    values = range_of([bar for bars in every.values() for bar in bars], zero=True)
    panels = [
        Panel(
            heading,
            draw_intervals(
                f"{key}-{number}", heading, ". ".join(f"{bar.name}: {bar.told}" for bar in bars), bars, axis="difference",
                values=values, zero=True,
            ),
        )
        for number, (heading, bars) in enumerate(every.items())
    ]  # fmt: skip
    head, *body = told
    return Figure(caption, panels, Table(title, head, [together(row) for row in body]))


def _bar(name: str, found: Mapping[str, Any], effect: Mapping[str, Any] | None) -> Bar:
    value, low, high = found["value"], found["low"], found["high"]
    ends = "" if low is None else f" [{low:+.3f}, {high:+.3f}]"
    verdict = f" {effect['verdict']}" if effect else ""
    shape, colour = _LOOK.get(effect["verdict"], _UNSAID) if effect else ("square", 7)
    return Bar(name, f"{value + 0.0:+.3f}{ends}{verdict}", value, low, high, shape, colour)


def _seeds(result: Mapping[str, Any]) -> Table:
    """Every seed's own score."""
    body = [
        [f"{name}, {task}", *(f"{score:.3f}" for score in own["each"])]
        for name, condition in result["conditions"].items()
        for task, own in condition["scores"].items()
    ]
    head = ["condition and task", *(f"seed {seed}" for seed in result["seeds"])]
    return Table(f"{result['study']['metric']} of every seed", head, body, folded=True)

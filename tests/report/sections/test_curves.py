"""Panels that stand beside each other are read against each other: by their ticks, and where values are drawn."""

import re
from xml.etree import ElementTree

import pytest

from findna_kit.report.folders import read_folder, read_run
from findna_kit.report.groups import group_runs
from findna_kit.report.sections.curves import curve_sections, figure_of
from findna_kit.report.sections.effects import effects_section
from findna_kit.report.sections.families import families


@pytest.fixture(scope="module")
def groups(made):
    """A run of 8 steps and one of 12."""
    return group_runs([(name, [read_run(made / name, name)]) for name in ("one", "two")])


@pytest.fixture(scope="module")
def drawn(groups):
    """Every family with its metrics' drawings."""
    own, steps = groups
    every = families(dict.fromkeys(name for group in own for name in group.series[0]))
    return [
        (family, dict(zip(family.panels, [parsed(panel) for panel in figure_of("k", family, own, steps).panels], strict=True)))
        for family in every
    ]


def parsed(panel):
    return ElementTree.fromstring(str(panel.drawing))


def ticks(drawing, anchor):
    """Of an axis, how each tick is written and where: `end` that of values, by y; `middle` that of steps, by x."""
    side = "y" if anchor == "end" else "x"
    texts = [one for one in drawing.iter("text") if one.get("text-anchor") == anchor and one.get("class") is None]
    return [(one.text, float(one.get(side))) for one in texts if one.text != "step"]


def curves(drawing):
    paths = [one.get("d") for one in drawing.iter("path") if "curve" in one.get("class").split()]
    return [[(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", way)] for way in paths]


def at(found, value):
    """Where an axis with these ticks has a value."""
    (first, low), *_, (last, high) = ((float(text), place) for text, place in found)
    return low + (value - first) / (last - first) * (high - low)


def test_panels_of_a_family_have_the_same_axis_of_values(drawn):
    several = [(family, panels) for family, panels in drawn if family.shared and len(panels) > 1]
    assert len(several) > 8
    for family, panels in several:
        first, *others = [ticks(drawing, "end") for drawing in panels.values()]
        assert len(first) > 1, family.title
        assert all(other == first for other in others), family.title


def test_values_stand_where_that_axis_says(drawn, groups):
    checked = 0
    for family, panels in drawn:
        for metric, drawing in panels.items():
            found = ticks(drawing, "end")
            if len(found) < 2 or any(not re.fullmatch(r"-?[\d.]+", text) for text, _ in found):
                continue
            for group, line in zip([group for group in groups[0] if group.of(metric)], curves(drawing), strict=True):
                (series,) = group.of(metric)
                # The axis' words stand 4 below its line; places are written to a tenth.
                assert abs(line[0][1] - (at(found, series.first[1]) - 4)) < 0.6, (family.title, metric)
                assert abs(line[-1][1] - (at(found, series.last[1]) - 4)) < 0.6, (family.title, metric)
                checked += 1
    assert checked > 20


def test_metrics_of_several_kinds_have_axes_of_their_own(drawn):
    """Or a learning rate would lie flat below a gradient's norm."""
    (panels,) = [panels for family, panels in drawn if not family.shared and len(panels) > 1]
    assert len({tuple(ticks(drawing, "end")) for drawing in panels.values()}) == len(panels)


def test_all_panels_have_the_steps_of_the_longest_run(drawn):
    every = [ticks(drawing, "middle") for _, panels in drawn for drawing in panels.values()]
    assert {tuple(text for text, _ in found) for found in every} == {("0", "2", "4", "6", "8", "10", "12")}
    for family, panels in drawn:
        assert len({tuple(ticks(drawing, "middle")) for drawing in panels.values()}) == 1, family.title


def test_what_the_shorter_run_alone_has_is_drawn_over_all_steps_too(groups):
    own, steps = groups
    for number, family in enumerate(families(own[0].series[0])):
        for panel in figure_of(f"k{number}", family, own[:1], steps).panels:
            assert ticks(parsed(panel), "middle")[-1][0] == "12", family.title


def test_a_shorter_run_ends_where_its_last_step_is(drawn):
    losses = next(panels for family, panels in drawn if family.title == "masked: loss")
    for drawing in losses.values():
        found, (one, two) = ticks(drawing, "middle"), curves(drawing)
        assert abs(one[-1][0] - at(found, 8)) < 0.2 and abs(two[-1][0] - at(found, 12)) < 0.2


def test_a_legend_names_what_is_drawn_alone(groups):
    own, steps = groups
    only = {name: series for name, series in own[1].series[0].items() if name not in own[0].series[0]}
    assert only, "of the second run alone there are looks at a task"
    sections = {one.title: one for one in curve_sections("k", own, steps, ("losses", "probes"))}
    names = {
        title: {name for block in one.blocks if block.kind == "figure" for name, _ in block.legend}
        for title, one in sections.items()
    }
    assert names == {"Losses": {"one", "two"}, "Task scores during training": {"two"}}


def test_how_means_are_drawn_is_said_once_a_heading(wide):
    study = read_folder(wide, "wide")
    of_study, steps = group_runs([(name, study.runs(name)) for name in study.study.conditions()])
    for section in curve_sections("k", of_study, steps, ("losses", "collapse")):
        told = [one.text for one in section.blocks if one.kind == "note"]
        assert sum("Lines are means over seeds" in text for text in told) == 1
        assert len([one for one in section.blocks if one.kind == "figure"]) > 3


def test_forests_of_effects_have_one_axis(wide):
    section = effects_section("part", read_folder(wide, "wide"))
    (figure,) = [one for one in section.blocks if one.kind == "figure"]
    first, *others = [ticks(parsed(panel), "middle") for panel in figure.panels]
    assert len(first) > 1 and others == [first] * 4

"""Curves, forests and scatters: every value where its axis says, nothing invented where there is none."""

import re
from xml.etree import ElementTree

from findna_kit.report.figures.canvas import WIDTH
from findna_kit.report.figures.curves import Axes, Curve, ReferenceLine, draw_curves
from findna_kit.report.figures.intervals import Bar, draw_intervals, range_of, shortened
from findna_kit.report.figures.scale import AxisRange
from findna_kit.report.figures.scatter import draw_scatter


def paths(markup, name):
    return [one.get("d") for one in ElementTree.fromstring(str(markup)).iter("path") if name in one.get("class").split()]


def points(way):
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", way)]


def test_a_curve_is_where_its_values_are():
    axes = Axes(AxisRange(0, 10), AxisRange(0, 2), 40)
    curve = Curve(0, [[(0, 0), (5, 1), (10, 2)]])
    (way,) = paths(draw_curves("k", "t", "d", [curve], axes), "curve")
    (x0, y0), (x1, y1), (x2, y2) = points(way)
    assert x0 < x1 < x2 <= WIDTH and y0 > y1 > y2 >= 0
    assert abs((x0 + x2) / 2 - x1) < 0.11 and abs((y0 + y2) / 2 - y1) < 0.11


def test_a_gap_is_a_gap_and_a_lone_point_a_mark():
    curve = Curve(1, [[(0, 1), (1, 1)], [(3, 1)]])
    drawn = draw_curves("k", "t", "d", [curve], Axes(AxisRange(0, 3), AxisRange(0, 2), 40))
    (way,) = paths(drawn, "curve")
    assert len(points(way)) == 2
    assert len(paths(drawn, "mark")[0].split("z")) - 1 == 3


def test_a_band_and_a_level_are_drawn():
    curve = Curve(0, [[(0, 1), (1, 1)]], [(0, 0.5, 1.5), (1, 0.5, 1.5)])
    drawn = draw_curves("k", "t", "d", [curve], Axes(AxisRange(0, 1), AxisRange(0, 2), 40), ReferenceLine("k-mers", 1.0))
    assert len(points(paths(drawn, "band")[0])) == 4
    assert len(paths(drawn, "level")) == 1 and ">k-mers<" in drawn


def test_nothing_to_draw_is_said():
    drawn = draw_curves("k", "t", "d", [], Axes(AxisRange(0, 1), None, 40))
    assert ">no values recorded<" in drawn and not paths(drawn, "curve")


def test_a_forest_has_each_interval_in_its_row():
    bars = [Bar("one", "+0.100", 0.1, 0.0, 0.2, "triangle", 2), Bar("two", "-0.100", -0.1, None, None)]
    drawn = draw_intervals("k", "t", "d", bars, axis="difference", zero=True)
    intervals = [points(way) for way in paths(drawn, "interval")]
    assert len(intervals) == 3, "a line and two ends of the one that has an interval"
    (low, y), (high, _) = intervals[0]
    (zero, _), _ = points(paths(drawn, "zero")[0])
    assert zero == low < high and y < WIDTH
    assert len(paths(drawn, "mark")) == 2


def test_an_axis_of_a_forest_holds_zero_and_every_end():
    found = range_of([Bar("one", "", 0.3, 0.2, 0.9)], zero=True)
    assert found.low < 0 < 0.9 < found.high
    assert range_of([], zero=False) == AxisRange(-1, 1)


def test_long_names_are_shortened_in_the_middle():
    assert shortened("short") == "short"
    long = shortened("a" * 100 + "b" * 100)
    assert len(long) < 60 and long.startswith("aaa") and long.endswith("bbb") and "…" in long


def test_every_point_of_a_scatter_is_there():
    classes = [[(0.0, 0.0), (1.0, 1.0)], [(0.5, 0.2)], []]
    drawn = draw_scatter("k", "t", "d", classes, ("PC 1", "PC 2"))
    assert [way.count("z") for way in paths(drawn, "dot")] == [2, 1]
    assert ">PC 1<" in drawn and ">PC 2<" in drawn

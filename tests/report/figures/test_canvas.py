"""Drawings: what is in a name stays text, and series can be told apart."""

from itertools import pairwise
from xml.etree import ElementTree

from findna_kit.report.figures.canvas import COLOURS, DASHES, SHAPES, Canvas, mark, number, sample, style


def test_names_are_text():
    canvas = Canvas("key", 100, "<b>&\"'", "</desc><script>alert(1)</script>")
    canvas.text(1, 2, "<script>", "strong", anchor="end")
    text = str(canvas.markup())
    assert "<script" not in text and "<b>" not in text
    root = ElementTree.fromstring(text)
    assert [root.find(tag).text for tag in ("title", "desc", "text")] == [
        "<b>&\"'",
        "</desc><script>alert(1)</script>",
        "<script>",
    ]
    assert root.get("aria-labelledby") == root.find("title").get("id") == "key-title"


def test_thirty_two_series_look_different_and_neighbours_differ_in_both():
    styles = [style(place) for place in range(COLOURS * DASHES)]
    assert len(set(styles)) == COLOURS * DASHES
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in pairwise(styles) if a[0] != "c7")


def test_marks_are_all_different_and_around_their_point():
    drawn = {which: mark(10, 10, which) for which in SHAPES}
    assert len(set(drawn.values())) == len(SHAPES)
    assert "<path" in sample(3) and 'class="curve c3 d3"' in sample(3)
    assert "curve" not in sample(3, line=False)


def test_coordinates_are_short():
    assert [number(value) for value in (1.0, 1.25, -0.01, 100.96)] == ["1", "1.2", "0", "101"]

"""An SVG drawing, built element by element, so that names from files become text and never markup."""

from __future__ import annotations

from typing import Literal
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

WIDTH = 360
"""Width of every drawing in its own units: about the pixels of a phone, so that text is never scaled down too far to read."""
LETTER, LINE = 6.9, 15
"""Width of a digit and height of a line of text in these units, rounded up, at the font size that style.css sets."""
COLOURS, DASHES, MARKS = 8, 4, 5
Shape = Literal["circle", "square", "triangle", "diamond", "cross"]
SHAPES: tuple[Shape, ...] = ("circle", "square", "triangle", "diamond", "cross")


class Canvas:
    """One drawing. key: prefix of its element IDs, unique on the page."""

    def __init__(self, key: str, height: float, title: str, description: str) -> None:
        # Screen readers read the title and the description instead of the shapes.
        attributes = {"role": "img", "aria-labelledby": f"{key}-title", "aria-describedby": f"{key}-description"}
        self._root = Element("svg", {"viewBox": f"0 0 {WIDTH} {number(height)}", "class": "drawing", **attributes})
        SubElement(self._root, "title", id=f"{key}-title").text = title
        SubElement(self._root, "desc", id=f"{key}-description").text = description

    def text(self, x: float, y: float, words: str, *classes: str, anchor: str = "start") -> None:
        """Add text with its baseline at y."""
        attributes = {"x": number(x), "y": number(y), "text-anchor": anchor, "class": " ".join(classes)}
        SubElement(self._root, "text", {name: value for name, value in attributes.items() if value}).text = words

    def path(self, commands: str, *classes: str) -> None:
        """Add a path."""
        SubElement(self._root, "path", {"d": commands, "class": " ".join(classes)})

    def line(self, x1: float, y1: float, x2: float, y2: float, *classes: str) -> None:
        """Add a straight line."""
        self.path(f"M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}", *classes)

    def markup(self) -> Markup:
        """Return the SVG element as text."""
        return Markup(tostring(self._root, encoding="unicode"))  # noqa: S704 - ElementTree has escaped every name


def number(value: float) -> str:
    """Return a coordinate as text. One decimal is enough: a tenth of a unit is less than a pixel."""
    text = f"{value:.1f}"
    # Shorter text makes smaller pages: a long run has thousands of coordinates.
    return text.removesuffix(".0") if text != "-0.0" else "0"


def style(index: int) -> tuple[str, str]:
    """Return the CSS classes for colour and dashes of a series. 32 series differ, and neighbours differ in both."""
    # Without the shift by one after each round of colours, series 8 would have the colour and the dashes of series 0.
    return f"c{index % COLOURS}", f"d{(index + index // COLOURS) % DASHES}"


def shape(index: int) -> Shape:
    """Return the shape of a series' marks."""
    return SHAPES[index % MARKS]


def mark(x: float, y: float, kind: Shape, size: float = 3.5) -> str:
    """Return the path commands of a mark centred on a point."""
    if kind == "circle":
        return f"M{number(x - size)} {number(y)}a{size} {size} 0 1 0 {2 * size} 0a{size} {size} 0 1 0 {-2 * size} 0z"
    if kind == "cross":
        return "".join(
            f"M{number(x - size)} {number(y - turn * size)}L{number(x + size)} {number(y + turn * size)}" for turn in (1, -1)
        )
    corners = {
        "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        "triangle": ((0, -1.1), (1.1, 0.9), (-1.1, 0.9)),
        "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
    }[kind]
    return "M" + "L".join(f"{number(x + dx * size)} {number(y + dy * size)}" for dx, dy in corners) + "z"


def sample(index: int, *, line: bool = True) -> Markup:
    """Return a series' mark on a piece of its line, for a legend.

    It is hidden from screen readers, since the name of the series follows.
    """
    root = Element("svg", {"viewBox": "0 0 36 12", "class": "sample", "aria-hidden": "true"})
    if line:
        SubElement(root, "path", {"d": "M0 6L36 6", "class": " ".join(("curve", *style(index)))})
    SubElement(root, "path", {"d": mark(18, 6, shape(index)), "class": f"mark {style(index)[0]}"})
    return Markup(tostring(root, encoding="unicode"))  # noqa: S704 - no part of it comes from a file

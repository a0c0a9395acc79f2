"""An SVG that is put together element by element: whatever stands in a name is text there, never markup."""

from __future__ import annotations

from typing import Literal
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

WIDTH = 360
"""Units of every drawing: about the pixels that a phone gives it, so that letters are never scaled to what cannot be read."""
LETTER, LINE = 6.9, 15
"""Units of a digit's width and of a line of text at the page's size of letters in drawings, rounded up."""
COLOURS, DASHES, MARKS = 8, 4, 5
Shape = Literal["circle", "square", "triangle", "diamond", "cross"]
SHAPES: tuple[Shape, ...] = ("circle", "square", "triangle", "diamond", "cross")


class Canvas:
    """One drawing. key: what its ids begin with, not used by another drawing of the page."""

    def __init__(self, key: str, height: float, title: str, description: str) -> None:
        named = {"role": "img", "aria-labelledby": f"{key}-title", "aria-describedby": f"{key}-description"}
        self._root = Element("svg", {"viewBox": f"0 0 {WIDTH} {number(height)}", "class": "drawing", **named})
        SubElement(self._root, "title", id=f"{key}-title").text = title
        SubElement(self._root, "desc", id=f"{key}-description").text = description

    def text(self, x: float, y: float, words: str, *classes: str, anchor: str = "start") -> None:
        """Words on a base line."""
        place = {"x": number(x), "y": number(y), "text-anchor": anchor, "class": " ".join(classes)}
        SubElement(self._root, "text", {name: value for name, value in place.items() if value}).text = words

    def path(self, way: str, *classes: str) -> None:
        """A path by its commands."""
        SubElement(self._root, "path", {"d": way, "class": " ".join(classes)})

    def line(self, x1: float, y1: float, x2: float, y2: float, *classes: str) -> None:
        """A straight one."""
        self.path(f"M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}", *classes)

    def markup(self) -> Markup:
        """The element, escaped."""
        return Markup(tostring(self._root, encoding="unicode"))  # noqa: S704 - ElementTree has escaped every name


def number(value: float) -> str:
    """A coordinate: a tenth of a unit is less than a pixel."""
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"


def style(place: int) -> tuple[str, str]:
    """Colour and dash of the n-th series; 32 differ, and neighbours differ in both."""
    return f"c{place % COLOURS}", f"d{(place + place // COLOURS) % DASHES}"


def shape(place: int) -> Shape:
    """The mark of the n-th series."""
    return SHAPES[place % MARKS]


def mark(x: float, y: float, which: Shape, size: float = 3.5) -> str:
    """The commands that draw a mark around a point."""
    if which == "circle":
        return f"M{number(x - size)} {number(y)}a{size} {size} 0 1 0 {2 * size} 0a{size} {size} 0 1 0 {-2 * size} 0z"
    if which == "cross":
        return "".join(
            f"M{number(x - size)} {number(y - turn * size)}L{number(x + size)} {number(y + turn * size)}" for turn in (1, -1)
        )
    corners = {
        "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        "triangle": ((0, -1.1), (1.1, 0.9), (-1.1, 0.9)),
        "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
    }[which]
    return "M" + "L".join(f"{number(x + dx * size)} {number(y + dy * size)}" for dx, dy in corners) + "z"


def sample(place: int, *, line: bool = True) -> Markup:
    """The n-th series' mark, on a piece of its line, for a legend; the name beside it says all, so who listens is spared it."""
    root = Element("svg", {"viewBox": "0 0 36 12", "class": "sample", "aria-hidden": "true"})
    if line:
        SubElement(root, "path", {"d": "M0 6L36 6", "class": " ".join(("curve", *style(place)))})
    SubElement(root, "path", {"d": mark(18, 6, shape(place)), "class": f"mark {style(place)[0]}"})
    return Markup(tostring(root, encoding="unicode"))  # noqa: S704 - nothing in it comes from a file

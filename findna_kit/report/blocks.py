"""Building blocks of a page. The template knows these kinds only, so each is made accessible in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup


@dataclass(frozen=True)
class Note:
    """A paragraph. missing: it names something that is not available; command: the command that would add it."""

    kind: ClassVar = "note"
    text: str
    missing: bool = False
    command: str = ""


@dataclass(frozen=True)
class TableBlock:
    """A table of text. The first cell of each row is its header.

    folded: hidden behind a summary, which is the caption. words: its cells hold sentences rather than numbers.
    """

    kind: ClassVar = "table"
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = False
    words: bool = False


@dataclass(frozen=True)
class Panel:
    """One drawing with its title. Its content is described in the drawing itself."""

    title: str
    drawing: Markup


@dataclass(frozen=True)
class Figure:
    """Panels that belong together, with a table of their numbers and, for several series, a legend (name, sample)."""

    kind: ClassVar = "figure"
    caption: str
    panels: Sequence[Panel]
    numbers: TableBlock
    legend: Sequence[tuple[str, Markup]] = ()


@dataclass(frozen=True)
class Code:
    """A complete text file, hidden behind a summary."""

    kind: ClassVar = "code"
    summary: str
    text: str


@dataclass(frozen=True)
class Lines:
    """Lines of text in letters of one width, each as spans (text, style); a style is a class of the style sheet."""

    kind: ClassVar = "lines"
    caption: str
    lines: Sequence[Sequence[tuple[str, str]]]


Block = Note | TableBlock | Figure | Code | Lines


@dataclass(frozen=True)
class Section:
    """A heading with its blocks."""

    key: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class ReportPart:
    """The sections about all runs, or about one study."""

    key: str
    title: str
    sections: list[Section] = field(default_factory=list)

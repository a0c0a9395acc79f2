"""What a page is made of. The template knows these kinds and nothing of runs, so that each is made accessible in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup


@dataclass(frozen=True)
class Note:
    """A sentence. missing: it names something that is not there; command: what would bring it."""

    kind: ClassVar = "note"
    text: str
    missing: bool = False
    command: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of text, the first cell of each its header.

    folded: behind a summary that the caption becomes; words: its cells hold sentences rather than numbers.
    """

    kind: ClassVar = "table"
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = False
    words: bool = False


@dataclass(frozen=True)
class Panel:
    """One drawing with its title; what it shows is told in the drawing's own description."""

    title: str
    drawing: Markup


@dataclass(frozen=True)
class Figure:
    """Panels that belong together, with a legend (name, sample) where there are several series, and their numbers."""

    kind: ClassVar = "figure"
    caption: str
    panels: Sequence[Panel]
    numbers: Table
    legend: Sequence[tuple[str, Markup]] = ()


@dataclass(frozen=True)
class Code:
    """A whole text, behind a summary."""

    kind: ClassVar = "code"
    summary: str
    text: str


Block = Note | Table | Figure | Code


@dataclass(frozen=True)
class Section:
    """One heading of a part, and what stands below it."""

    key: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Part:
    """All runs together, or one study."""

    key: str
    title: str
    sections: list[Section] = field(default_factory=list)

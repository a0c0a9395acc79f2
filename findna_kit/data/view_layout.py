"""Where the bases of views stand in a drawing: under the bases of the window that they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from findna_kit.components.views import View


@dataclass(frozen=True)
class Place:
    """Where a base stands. slot: its position in the window; for an inserted base the position that it stands before.

    number: which of the inserted bases before `slot` it is, counted from 0; None for a base of the window.
    """

    slot: int
    number: int | None = None


@dataclass(frozen=True)
class ViewBases:
    """The valid bases of one sequence of a view, as Python numbers: each list has an entry per base, in the view's order.

    seen: the tokens that the branches receive, MASK included. weights: of masked positions, by position.
    """

    tokens: list[int]
    seen: list[int]
    origin: list[int]
    strand: list[int]
    soft_masked: list[bool]
    weights: dict[int, float]

    @classmethod
    def of(cls, view: View) -> ViewBases:
        """Read the first sequence of a view."""
        count = int(view.lengths[0])
        slots = zip(view.masked_index[0].tolist(), view.masked_weight[0].tolist(), strict=True)
        return cls(
            view.tokens[0, :count].tolist(), view.student_tokens[0, :count].tolist(), view.origin[0, :count].tolist(),
            view.strand[0, :count].tolist(), view.soft_masked[0, :count].tolist(),
            {position: weight for position, weight in slots if weight > 0},
        )  # fmt: skip


@dataclass(frozen=True)
class Segment:
    """Consecutive bases of a view, which come from consecutive positions of one strand, or are all inserted.

    begin, end: positions in the view, half-open. strand: 0 for inserted bases.
    """

    begin: int
    end: int
    strand: int


def segments(origin: Sequence[int], strand: Sequence[int]) -> list[Segment]:
    """Return the segments of a view in its own order."""
    found: list[Segment] = []
    for at in range(len(origin)):
        last = found[-1] if found else None
        # Of inserted bases both the strand and the step are 0, so that one comparison joins them as well.
        joined = last is not None and last.strand == strand[at] and origin[at] == origin[at - 1] + strand[at]
        if joined and last is not None:
            found[-1] = Segment(last.begin, at + 1, last.strand)
        else:
            found.append(Segment(at, at + 1, strand[at]))
    return found


def places(bases: ViewBases) -> list[Place]:
    """Return the place of each base of a view. Inserted bases stand beside the base that precedes them in the view."""
    result: list[Place] = []
    used: dict[int, int] = {}
    for segment in segments(bases.origin, bases.strand):
        if segment.strand:
            result += [Place(bases.origin[at]) for at in range(segment.begin, segment.end)]
            continue
        slot, backwards = _slot(bases, segment)
        count, first = segment.end - segment.begin, used.get(slot, 0)
        used[slot] = first + count
        # On the other strand a view is read from right to left, its inserted bases too.
        numbers = range(first + count - 1, first - 1, -1) if backwards else range(first, first + count)
        result += [Place(slot, number) for number in numbers]
    return result


def _slot(bases: ViewBases, inserted: Segment) -> tuple[int, bool]:
    """Return the window position that inserted bases stand before, and whether they are read from right to left."""
    if inserted.begin > 0:
        before = inserted.begin - 1
        forward = bases.strand[before] > 0
        return bases.origin[before] + forward, not forward
    if inserted.end < len(bases.origin):
        forward = bases.strand[inserted.end] > 0
        return bases.origin[inserted.end] + (not forward), not forward
    return 0, False  # nothing but inserted bases


@dataclass
class Columns:
    """The columns of a drawing: one for each base of the window, and as many before it as any view has inserted bases there."""

    window: int
    inserted: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, window: int, views: Iterable[Sequence[Place]]) -> Columns:
        """Return the columns that the views need over a window of `window` bases."""
        columns = cls(window)
        for placed in views:
            for place in placed:
                if place.number is not None:
                    columns.inserted[place.slot] = max(columns.inserted.get(place.slot, 0), place.number + 1)
        return columns

    def in_order(self) -> list[Place]:
        """Return what each column is for, from left to right."""
        result: list[Place] = []
        for position in range(self.window + 1):
            result += [Place(position, number) for number in range(self.inserted.get(position, 0))]
            result += [Place(position)] * (position < self.window)
        return result


def rows(placed: Sequence[Place]) -> list[dict[Place, int]]:
    """Return the rows of a view: which base of it stands in which place. A place that is taken needs a further row."""
    result: list[dict[Place, int]] = [{}]
    for at, place in enumerate(placed):
        for row in result:
            if place not in row:
                row[place] = at
                break
        else:
            result.append({place: at})
    return result

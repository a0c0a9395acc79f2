"""Tandem repeats that grow or shrink by slipped-strand mispairing (Levinson and Gutman 1987, Mol Biol Evol 4:203)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import torch
from pydantic import Field, model_validator

from findna_kit import alphabet
from findna_kit.components import Augmentation, ComponentConfig, Draw, View, positions_and_lengths

if TYPE_CHECKING:
    from torch import Tensor


class TandemRepeat(Augmentation):
    """Copies a unit of a few bases some more times behind itself, or takes copies away that follow it.

    Copies are inserted bases: they have no origin. L is kept as by `indel`: of what has become longer the central part is seen,
    what has become shorter is filled up with random bases at both ends. A unit holds no N; a sequence without a place for the
    unit that was drawn stays as it is. Taking away leaves the first copy.
    """

    class Config(ComponentConfig):
        """Which units, where, and how many copies."""

        shortest_unit: int = Field(1, ge=1, description="fewest bases of a unit")
        longest_unit: int = Field(6, ge=1, description="most bases of a unit, each number as likely")
        copies: int = Field(10, ge=1, description="most copies that are put in or taken away, each number from 1 as likely")
        place: Literal["anywhere", "repeat"] = Field(
            "anywhere", description="where the unit lies: at any base, or where a copy of it follows already"
        )
        contraction: float = Field(0.0, ge=0, le=1, description="share of repeats that shrink, rather than grow")
        probability: float = Field(1.0, ge=0, le=1, description="of a sequence to be changed")

        @model_validator(mode="after")
        def _possible(self) -> Self:
            if self.shortest_unit > self.longest_unit:
                raise ValueError(f"shortest_unit {self.shortest_unit} is above longest_unit {self.longest_unit}")
            if self.contraction and self.place == "anywhere":
                raise ValueError("contraction takes copies away where there are some; state place: repeat with it")
            return self

    config: Config
    examples = ({}, {"place": "repeat", "contraction": 0.5, "longest_unit": 2, "copies": 3})

    def __call__(self, view: View, draw: Draw) -> View:
        """The view with one repeat in each sequence longer or shorter than it was."""
        at, count = positions_and_lengths(view)
        unit = draw.integers(self.config.shortest_unit, self.config.longest_unit + 1, 1)
        place, follow = self._chosen(view, unit, draw)
        copies = draw.integers(1, self.config.copies + 1, 1)
        shrinks = draw.uniform(1) < self.config.contraction
        copies = torch.where(shrinks, -copies.minimum(follow), copies)
        longer = copies * unit * ((place < count) & (draw.uniform(1) < self.config.probability))
        seen = at + longer.div(2, rounding_mode="trunc")  # positions in the sequence as long as it has become
        source = seen.where(seen < place + unit, seen - longer)
        copied = (seen >= place + unit) & (seen < place + unit + longer)
        lacking = (seen < 0) | (source >= count)
        source = torch.where(at < count, source.masked_fill(copied | lacking, -1), at)
        again = (place + (seen - place) % unit).clamp(max=at.shape[1] - 1)
        inserted = view.tokens.gather(1, again).where(copied, draw.integers(0, 4, at.shape[1]))
        return view.gather(source, inserted=inserted, padding_stays=True)

    def _chosen(self, view: View, unit: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """Where the unit begins (L: nowhere), and how many copies of it follow there; both [B, 1]."""
        at, count = positions_and_lengths(view)
        length = at.shape[1]
        after = at + unit
        same = (
            (view.tokens == view.tokens.gather(1, after.clamp(max=length - 1))) & (view.tokens < alphabet.N) & (after < count)
        )
        alike = _until(~same)
        possible = (_until(view.tokens >= alphabet.N) if self.config.place == "anywhere" else alike) >= unit
        upto = possible.cumsum(1)
        rank = draw.integers(0, upto[:, -1:].clamp(min=1), 1)
        place = torch.searchsorted(upto, rank, right=True)
        return place, alike.gather(1, place.clamp(max=length - 1)) // unit


def _until(stop: Tensor) -> Tensor:
    """How far it is from each position to the next that stops, or to the end; [B, L]."""
    length = stop.shape[1]
    at = torch.arange(length, device=stop.device)
    return at.expand_as(stop).masked_fill(~stop, length).flip(1).cummin(1).values.flip(1) - at

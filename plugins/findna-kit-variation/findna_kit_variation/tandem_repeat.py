"""Expansion and contraction of tandem repeats by slipped-strand mispairing (Levinson and Gutman 1987, Mol Biol Evol 4:203)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import torch
from pydantic import Field, model_validator

from findna_kit import alphabet
from findna_kit.components import Augmentation, ComponentConfig, Draw, View, positions_and_lengths

if TYPE_CHECKING:
    from torch import Tensor


class TandemRepeat(Augmentation):
    """Insertion or deletion of copies of a short unit, next to the unit (Levinson 1987).

    Inserted copies have no origin. The length L is kept as by `indel`: a longer sequence is cut to its central part, and a
    shorter one is padded with random bases at both ends. A unit contains no N; a sequence without a position for a unit of the
    drawn length is unchanged. A contraction keeps the first copy.
    """

    class Config(ComponentConfig):
        """Length and position of the unit, and number of copies."""

        shortest_unit: int = Field(1, ge=1, description="minimum length of a unit")
        longest_unit: int = Field(6, ge=1, description="maximum length of a unit; lengths are drawn uniformly")
        copies: int = Field(10, ge=1, description="maximum number of copies to insert or delete, drawn uniformly from 1")
        place: Literal["anywhere", "repeat"] = Field(
            "anywhere", description="position of the unit: any base, or only where a copy of the unit follows"
        )
        contraction: float = Field(0.0, ge=0, le=1, description="share of repeats that shrink instead of growing")
        probability: float = Field(1.0, ge=0, le=1, description="probability that a sequence is changed")

        @model_validator(mode="after")
        def _possible(self) -> Self:
            if self.shortest_unit > self.longest_unit:
                raise ValueError(f"shortest_unit {self.shortest_unit} is above longest_unit {self.longest_unit}")
            if self.contraction and self.place == "anywhere":
                raise ValueError("contraction removes existing copies, so it needs place: repeat")
            return self

    config: Config
    examples = ({}, {"place": "repeat", "contraction": 0.5, "longest_unit": 2, "copies": 3})

    def __call__(self, view: View, draw: Draw) -> View:
        """Return the view with one repeat in each sequence expanded or contracted."""
        position, count = positions_and_lengths(view)
        unit = draw.integers(self.config.shortest_unit, self.config.longest_unit + 1, 1)
        start, following = self._draw_unit(view, unit, draw)
        copies = draw.integers(1, self.config.copies + 1, 1)
        contracts = draw.uniform(1) < self.config.contraction
        copies = torch.where(contracts, -copies.minimum(following), copies)
        growth = copies * unit * ((start < count) & (draw.uniform(1) < self.config.probability))
        # Positions of the view in the new sequence, of which half of the growth is cut off at the front.
        shifted = position + growth.div(2, rounding_mode="trunc")
        source = shifted.where(shifted < start + unit, shifted - growth)
        copied = (shifted >= start + unit) & (shifted < start + unit + growth)
        outside = (shifted < 0) | (source >= count)
        source = torch.where(position < count, source.masked_fill(copied | outside, -1), position)
        template = (start + (shifted - start) % unit).clamp(max=position.shape[1] - 1)
        inserted = view.tokens.gather(1, template).where(copied, draw.integers(0, 4, position.shape[1]))
        return view.gather(source, inserted=inserted, padding_stays=True)

    def _draw_unit(self, view: View, unit: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """Return the start of a unit of length `unit` (L: there is none) and the number of copies that follow; both [B, 1]."""
        position, count = positions_and_lengths(view)
        length = position.shape[1]
        after = position + unit
        repeats = (
            (view.tokens == view.tokens.gather(1, after.clamp(max=length - 1))) & (view.tokens < alphabet.N) & (after < count)
        )
        # The number of bases from each position on that equal the base one unit later.
        matching = _distance_to_next(~repeats)
        possible = (_distance_to_next(view.tokens >= alphabet.N) if self.config.place == "anywhere" else matching) >= unit
        cumulative = possible.cumsum(1)
        rank = draw.integers(0, cumulative[:, -1:].clamp(min=1), 1)
        # The first position at which more than `rank` positions were possible: a uniform choice among them, or L without any.
        start = torch.searchsorted(cumulative, rank, right=True)
        return start, matching.gather(1, start.clamp(max=length - 1)) // unit


def _distance_to_next(stop: Tensor) -> Tensor:
    """Return the distance from each position to the next one where `stop` is True, or to the end; [B, L]."""
    length = stop.shape[1]
    position = torch.arange(length, device=stop.device)
    return position.expand_as(stop).masked_fill(~stop, length).flip(1).cummin(1).values.flip(1) - position

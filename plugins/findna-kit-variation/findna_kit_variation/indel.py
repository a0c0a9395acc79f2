"""Short insertions and deletions with lengths from a power law (Gu and Li 1995, J Mol Evol 40:464) or geometric ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field

from findna_kit.components import Augmentation, ComponentConfig, Draw, View, positions_and_lengths

if TYPE_CHECKING:
    from torch import Tensor


class Indel(Augmentation):
    """Random deletions, and insertions of random bases, in each sequence (Cartwright 2009).

    The number of events is Poisson distributed with mean `rate` times the number of bases, and at most `most`. Each event
    starts at a uniformly drawn base: an insertion is placed before it, a deletion removes it and the following bases, up to the
    end of the sequence. Positions refer to the original sequence, so deletions may overlap. The length L is kept as in EvoAug
    (Lee et al. 2023): a longer sequence is cut to its central part, and a shorter one is padded with random bases, half of them
    before and half after it.
    """

    class Config(ComponentConfig):
        """Rate, kinds and lengths of events. The defaults follow Cartwright (2009) and suit those of `substitution`."""

        rate: float = Field(0.007, ge=0, le=1, description="events per base; in genomes 12 to 16 per 100 substitutions")
        insertion_share: float = Field(0.3, ge=0, le=1, description="share of insertions; in genomes they are the minority")
        law: Literal["power", "geometric"] = Field(
            "power",
            description="distribution of lengths k: power, k ** -exponent; geometric, (1 - end_probability) ** k",
        )
        exponent: float = Field(1.65, ge=0, description="exponent of the power law")
        end_probability: float = Field(0.5, gt=0, lt=1, description="probability that a geometric length ends at each base")
        longest: int = Field(20, ge=1, description="maximum length of an insertion or deletion")
        most: int = Field(16, ge=1, description="maximum number of insertions and deletions in one sequence")

        def probabilities(self) -> Tensor:
            """Return the probabilities of the lengths 1 ... longest, float64."""
            length = torch.arange(1, self.longest + 1, dtype=torch.float64)
            weight = length**-self.exponent if self.law == "power" else (1 - self.end_probability) ** length
            return weight / weight.sum()

        def lengths(self, uniform: Tensor) -> Tensor:
            """Return lengths for uniform random numbers, by the inverse of the distribution function."""
            cumulative = self.probabilities().cumsum(0)[:-1].to(uniform.device)
            return torch.searchsorted(cumulative, uniform.double(), right=True) + 1

        def numbers(self, count: Tensor, uniform: Tensor) -> Tensor:
            """Return the number of events in sequences of `count` [B, 1] bases: Poisson distributed, at most `most`."""
            numbers = torch.arange(1, self.most + 1, dtype=torch.float64, device=count.device)
            mean = self.rate * count.double()
            # The incomplete gamma function Q(k, mean) is the Poisson probability of fewer than k events.
            fewer: Tensor = torch.special.gammaincc(numbers.expand(len(mean), -1), mean.expand(-1, self.most))
            return (uniform >= fewer).sum(1, keepdim=True)

    config: Config
    examples = ({"rate": 0.05}, {"rate": 0.05, "law": "geometric", "insertion_share": 0.5, "longest": 5})

    def __call__(self, view: View, draw: Draw) -> View:
        """Return the view with some regions deleted and some bases inserted."""
        position, count = positions_and_lengths(view)
        total, most = position.shape[1], self.config.most
        number = self.config.numbers(count, draw.uniform(1))
        start = draw.integers(0, count.clamp(min=1), most)
        is_insertion = draw.uniform(most) < self.config.insertion_share
        length = self.config.lengths(draw.uniform(most))
        length = length * (torch.arange(most, device=position.device) < number)
        inserted = _inserted_before(total, start, length * is_insertion)
        deleted = _covered(total, start, length * ~is_insertion, count)
        remains = (position < count) & ~deleted
        target = inserted.cumsum(1) + remains.cumsum(1) - 1  # in the new sequence, before it is cut or padded
        growth = inserted.sum(1, keepdim=True) - deleted.sum(1, keepdim=True)
        target -= growth.div(2, rounding_mode="trunc")
        # Bases outside of the view are written to column L, which is dropped. Padding stays in place.
        target = target.where(remains & (target >= 0) & (target < count), total)
        target = torch.where(position < count, target, position)
        source = target.new_full((len(target), total + 1), -1).scatter_(1, target, position.expand_as(target))
        return view.gather(source[:, :total], inserted=draw.integers(0, 4, total), padding_stays=True)


def _inserted_before(total: int, start: Tensor, length: Tensor) -> Tensor:
    """Return the number of bases inserted before each position, [B, total]."""
    return length.new_zeros(len(length), total).scatter_add_(1, start, length)


def _covered(total: int, start: Tensor, length: Tensor, count: Tensor) -> Tensor:
    """Return which positions are covered by a deletion, bool [B, total]; none beyond `count` [B, 1]."""
    # +1 where a deletion starts and -1 where it ends; the running sum is the number of deletions that cover a position.
    step = length.new_zeros(len(length), total + 1)
    used = (length > 0).long()
    step.scatter_add_(1, start, used).scatter_add_(1, (start + length).minimum(count), -used)
    return step[:, :total].cumsum(1) > 0

"""Short insertions and deletions, with lengths by a power law (Gu and Li 1995, J Mol Evol 40:464) or a geometric one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field

from findna_kit.components import Augmentation, ComponentConfig, Draw, View, positions_and_lengths

if TYPE_CHECKING:
    from torch import Tensor


class Indel(Augmentation):
    """Takes stretches out of each sequence and puts random bases in, at places drawn one by one.

    Their number is Poisson's with mean `rate` times the bases; what it gives beyond `most` is not done. Each begins at any
    base as likely: an insertion stands before it, a deletion takes it and those after it, as far as the sequence goes. Places
    are those of the sequence as it was, so deletions may overlap. L is kept as EvoAug does (Lee et al. 2023): of what has
    become longer the central part is seen; what has become shorter is filled up with random bases, half of them before the
    sequence, half after it.
    """

    class Config(ComponentConfig):
        """How many, of which kind and length. Defaults: Cartwright (2009, Mol Biol Evol 26:473), beside `substitution`'s."""

        rate: float = Field(0.007, ge=0, le=1, description="insertions and deletions per base; 12 to 16 for 100 substitutions")
        insertion_share: float = Field(0.3, ge=0, le=1, description="of them that are insertions; in genomes the fewer")
        law: Literal["power", "geometric"] = Field(
            "power", description="of lengths k: k ** -exponent, or (1 - end_probability) ** k"
        )
        exponent: float = Field(1.65, ge=0, description="of the power law")
        end_probability: float = Field(0.5, gt=0, lt=1, description="of a length that is geometric to end at each base")
        longest: int = Field(20, ge=1, description="longest length; longer ones are not drawn")
        most: int = Field(16, ge=1, description="insertions and deletions in one sequence at most")

        def chances(self) -> Tensor:
            """Probabilities of the lengths 1 ... longest, float64."""
            length = torch.arange(1, self.longest + 1, dtype=torch.float64)
            weight = length**-self.exponent if self.law == "power" else (1 - self.end_probability) ** length
            return weight / weight.sum()

        def lengths(self, uniform: Tensor) -> Tensor:
            """Lengths of that law, by the inverse of its distribution function."""
            reached = self.chances().cumsum(0)[:-1].to(uniform.device)
            return torch.searchsorted(reached, uniform.double(), right=True) + 1

        def numbers(self, count: Tensor, uniform: Tensor) -> Tensor:
            """Events in sequences of `count` [B, 1] bases: Poisson's number, or `most`; by the inverse as well."""
            fewer = torch.arange(1, self.most + 1, dtype=torch.float64, device=count.device)
            mean = self.rate * count.double()
            # The incomplete gamma function Q(k, mean) is Poisson's probability of fewer than k.
            fewer_than: Tensor = torch.special.gammaincc(fewer.expand(len(mean), -1), mean.expand(-1, self.most))
            return (uniform >= fewer_than).sum(1, keepdim=True)

    config: Config
    examples = ({"rate": 0.05}, {"rate": 0.05, "law": "geometric", "insertion_share": 0.5, "longest": 5})

    def __call__(self, view: View, draw: Draw) -> View:
        """The view with some stretches missing and some put in."""
        at, count = positions_and_lengths(view)
        whole, most = at.shape[1], self.config.most
        number = self.config.numbers(count, draw.uniform(1))
        begin = draw.integers(0, count.clamp(min=1), most)
        inserting = draw.uniform(most) < self.config.insertion_share
        length = self.config.lengths(draw.uniform(most))
        length = length * (torch.arange(most, device=at.device) < number)
        put_in, missing = _marked(whole, begin, length * inserting), _covered(whole, begin, length * ~inserting, count)
        kept = (at < count) & ~missing
        place = put_in.cumsum(1) + kept.cumsum(1) - 1  # in the sequence as long as it has become
        longer = put_in.sum(1, keepdim=True) - missing.sum(1, keepdim=True)
        place -= longer.div(2, rounding_mode="trunc")
        # Beyond L everything lands that is not seen; padding stays where it is.
        place = place.where(kept & (place >= 0) & (place < count), whole)
        place = torch.where(at < count, place, at)
        source = place.new_full((len(place), whole + 1), -1).scatter_(1, place, at.expand_as(place))
        return view.gather(source[:, :whole], inserted=draw.integers(0, 4, whole), padding_stays=True)


def _marked(whole: int, begin: Tensor, length: Tensor) -> Tensor:
    """How many bases are put in before each position, [B, whole]."""
    return length.new_zeros(len(length), whole).scatter_add_(1, begin, length)


def _covered(whole: int, begin: Tensor, length: Tensor, count: Tensor) -> Tensor:
    """Which positions any of the stretches covers, [B, whole]; none beyond `count` [B, 1]."""
    step = length.new_zeros(len(length), whole + 1)
    one = (length > 0).long()
    step.scatter_add_(1, begin, one).scatter_add_(1, (begin + length).minimum(count), -one)
    return step[:, :whole].cumsum(1) > 0

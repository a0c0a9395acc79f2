"""What components are tried on: small windows, made of nothing but a key, and what an encoder is given of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch

from findna_kit import alphabet
from findna_kit.components.draws import Draw
from findna_kit.components.interfaces import Contig
from findna_kit.components.views import View
from findna_kit.data.genome import builtin_genome, open_store
from findna_kit.data.sources import Data
from findna_kit.model.branch import encode_bases

if TYPE_CHECKING:
    from torch import Tensor

    from findna_kit.components.interfaces import Encoder


@cache
def builtin_contigs() -> tuple[Contig, ...]:
    """Those of the built-in genome, on which windows are said to lie."""
    store = open_store(builtin_genome())
    return tuple(Contig(contig.name, contig.length) for contig in store.contigs)


def random_windows(batch: int, length: int, *, seed: int = 0, unknown: float = 0.1, padded: bool = True) -> View:
    """Random windows with N and soft-masking; the first is whole, the others, if `padded`, of any length."""
    numbers = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 4, (batch, length), generator=numbers)
    tokens[torch.rand(batch, length, generator=numbers) < unknown] = alphabet.N
    shortest = max(1, length // 3)
    lengths = torch.randint(shortest if padded else length, length + 1, (batch, 1), generator=numbers)
    if batch:
        lengths[0] = length
    return View.of_windows(
        tokens,
        soft_masked=torch.rand(batch, length, generator=numbers) < 0.3,
        valid=torch.arange(length) < lengths,
        start=torch.randint(0, builtin_contigs()[0].length - length, (batch,), generator=numbers),
    )


@dataclass(frozen=True)
class SampleWindows:
    """Windows as a pure function of the step and the rows; each has its own share of N, so that rows count differently."""

    length: int
    purpose: str

    def draw(self, step: int, rows: Tensor) -> View:
        """The windows at `rows` [B]."""
        draw = Draw("conformance", self.purpose, step, rows=rows)
        tokens = draw.integers(0, 4, self.length)
        unknown = draw.uniform(self.length) < 0.5 * draw.uniform(1)
        start = draw.integers(0, builtin_contigs()[0].length - self.length, 1)[:, 0]
        soft_masked = draw.uniform(self.length) < 0.3
        return View.of_windows(tokens.masked_fill(unknown, alphabet.N), soft_masked=soft_masked, start=start)

    def fixed(self, count: int) -> View:
        """The same windows every time."""
        return self.draw(0, torch.arange(count))


def sample_data(length: int) -> Data:
    """Windows to train on, and to look at."""
    return Data(SampleWindows(length, "training"), SampleWindows(length, "validation"))


def given(encoder: Encoder, lengths: list[int], total: int, class_tokens: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """`bases` and `valid` for sequences of those lengths, padded to `total`; some bases are N, some MASK.

    A sequence is a function of its place and the seed: a shorter one is the longer one's beginning.
    """
    draw = Draw("conformance", "bases", seed, rows=torch.arange(len(lengths)))
    kinds = draw.uniform(512)[:, :total]
    tokens = draw.integers(0, 4, 512)[:, :total].masked_fill(kinds < 0.1, alphabet.N).masked_fill(kinds > 0.85, alphabet.MASK)
    valid = torch.arange(total) < torch.tensor(lengths)[:, None]
    return with_class_rows(encoder, encode_bases(tokens.masked_fill(~valid, alphabet.N)), valid, class_tokens)


def with_class_rows(encoder: Encoder, bases: Tensor, valid: Tensor, class_tokens: int) -> tuple[Tensor, Tensor]:
    """As the network gives them: class rows first, and none to an encoder that does not mix globally."""
    rows = class_tokens if encoder.global_mixing else 0
    pad = torch.nn.functional.pad
    return pad(bases, (0, 0, rows, 0)), pad(valid, (rows, 0), value=True)

"""Small inputs for conformance checks: random windows that depend on a key alone, and encoder inputs made from them."""

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
    """Return the contigs of the built-in genome, in which the sample windows are placed."""
    store = open_store(builtin_genome())
    return tuple(Contig(contig.name, contig.length) for contig in store.contigs)


def random_windows(batch: int, length: int, *, seed: int = 0, unknown: float = 0.1, padded: bool = True) -> View:
    """Return random windows [batch, length] with N (a share `unknown`) and soft-masking.

    With `padded`, all windows but the first have random lengths and are padded.
    """
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
    """A source of windows as a pure function of the step and of the index in the global batch.

    Each window has its own share of N, so that losses over bases have different counts for different samples.
    """

    length: int
    purpose: str

    def draw(self, step: int, rows: Tensor) -> View:
        """Return the windows at the indices `rows` [B] of the global batch."""
        draw = Draw("conformance", self.purpose, step, rows=rows)
        tokens = draw.integers(0, 4, self.length)
        unknown = draw.uniform(self.length) < 0.5 * draw.uniform(1)
        start = draw.integers(0, builtin_contigs()[0].length - self.length, 1)[:, 0]
        soft_masked = draw.uniform(self.length) < 0.3
        return View.of_windows(tokens.masked_fill(unknown, alphabet.N), soft_masked=soft_masked, start=start)

    def fixed(self, count: int) -> View:
        """Return the same `count` windows on every call."""
        return self.draw(0, torch.arange(count))


def sample_data(length: int) -> Data:
    """Return sources of training and validation windows of this length."""
    return Data(SampleWindows(length, "training"), SampleWindows(length, "validation"))


def encoder_inputs(
    encoder: Encoder, lengths: list[int], total: int, class_tokens: int, *, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Return `bases` and `valid` for sequences of these lengths, padded to `total`; some bases are N, some MASK.

    A sequence depends on its index and the seed alone: with a smaller length it is the beginning of the longer one.
    """
    draw = Draw("conformance", "bases", seed, rows=torch.arange(len(lengths)))
    # Always 512 numbers, cut afterwards, so that a sequence does not depend on `total`.
    kinds = draw.uniform(512)[:, :total]
    tokens = draw.integers(0, 4, 512)[:, :total].masked_fill(kinds < 0.1, alphabet.N).masked_fill(kinds > 0.85, alphabet.MASK)
    valid = torch.arange(total) < torch.tensor(lengths)[:, None]
    return prepend_class_rows(encoder, encode_bases(tokens.masked_fill(~valid, alphabet.N)), valid, class_tokens)


def prepend_class_rows(encoder: Encoder, bases: Tensor, valid: Tensor, class_tokens: int) -> tuple[Tensor, Tensor]:
    """Prepend class tokens as the model does: zeros that are valid, and none if the encoder does not mix globally."""
    rows = class_tokens if encoder.global_mixing else 0
    pad = torch.nn.functional.pad
    return pad(bases, (0, 0, rows, 0)), pad(valid, (rows, 0), value=True)

"""The conformance check that an augmentation keeps `origin` and `strand` consistent with the tokens.

The check does not know what the augmentation does. It replaces one base of the window by A, C, G and T in turn, with the same
random draw, and observes which positions of the view follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from findna_kit import alphabet
from findna_kit.testing.samples import random_windows
from findna_kit.testing.view_checks import GATHER, KEYS, build, row_random

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from findna_kit.components.interfaces import Augmentation, Masking
    from findna_kit.components.views import View
    from findna_kit.testing.checks import Case


def origin(case: Case) -> Iterator[str]:
    """Require that `origin` and `strand` state where each base of the view comes from; an inserted base has origin -1."""
    component = build(case)
    for key in KEYS[:2]:
        traced = _trace(component, random_windows(6, 40, seed=11 + key, unknown=0.1), key)
        if messages := [*_wrong_origins(traced), *_wrong_strands(traced), *_missing_insertions(traced)]:
            yield from messages
            return


@dataclass(frozen=True)
class _Traced:
    """Views of windows in which one base was replaced: R windows, at each of L positions, by each of 4 bases.

    tokens [R, L, 4, L]. origin, strand [R, L, L]: the same for all four bases wherever `stable`. stable [R, L, L]: positions
    whose origin and strand do not depend on the base. replaced [R, L]: positions that hold a base and could be replaced.
    """

    tokens: Tensor
    origin: Tensor
    strand: Tensor
    stable: Tensor
    replaced: Tensor

    @property
    def position(self) -> Tensor:
        """Return the replaced position, to be compared with `origin`."""
        return torch.arange(self.tokens.shape[1])[None, :, None]

    @property
    def follows(self) -> Tensor:
        """Return [R, L, L], view positions with four different bases, so that they hold the replaced base.

        A base drawn at random is the same for all four, and one that depends on its neighbours takes about two values.
        """
        # Four different bases differ in 4 * 3 = 12 ordered pairs.
        distinct = (self.tokens[:, :, :, None] != self.tokens[:, :, None]).sum((2, 3)) == 12
        return distinct & (self.tokens < alphabet.N).all(2) & self.stable & self.replaced[:, :, None]


def _trace(component: Augmentation | Masking, window: View, key: int) -> _Traced:
    """Replace every base of every window by each of the four bases, and make the views with the same draw."""
    rows, length = window.tokens.shape
    part = torch.arange(rows).repeat_interleave(length * 4)
    many = window.select(part)
    position = torch.arange(length).repeat_interleave(4).repeat(rows)[:, None]
    base = torch.arange(4).repeat(rows * length)[:, None]
    known = many.tokens.gather(1, position) < alphabet.N
    replacement = torch.where(known, base, many.tokens.gather(1, position))
    view = component(many.with_tokens(many.tokens.scatter(1, position, replacement)), row_random(key, part))
    shape = (rows, length, 4, length)
    tokens, origin, strand = view.tokens.view(shape), view.origin.view(shape), view.strand.view(shape)
    stable = (origin == origin[:, :, :1]).all(2) & (strand == strand[:, :, :1]).all(2)
    return _Traced(tokens, origin[:, :, 0], strand[:, :, 0], stable, (window.tokens < alphabet.N) & window.valid)


def _wrong_origins(traced: _Traced) -> Iterator[str]:
    """Yield a message if a view position holds a base of the window under another origin."""
    follows, origin = traced.follows, traced.origin
    # An inserted base may be a copy of a base in the window (a growing tandem repeat): it has no origin.
    copies = (follows.sum(2) > 1).any(1)[:, None, None]
    if bool((wrong := follows & (origin != traced.position) & ~(copies & (origin < 0))).any()):
        row, source, target = wrong.nonzero()[0].tolist()
        yield (
            f"the base at position {source} of a window is at position {target} of its view (that position follows when the "
            f"base is replaced by A, C, G and T), but `origin` there is {int(origin[row, source, target])}; the same holds "
            f"for {int(wrong.any(1).sum())} of {origin.shape[0] * origin.shape[2]} positions. {GATHER}"
        )


def _wrong_strands(traced: _Traced) -> Iterator[str]:
    """Yield a message if a base was complemented and `strand` is +1, or the reverse."""
    base = torch.arange(4)[None, None, :, None]
    unchanged, complemented = (traced.tokens == base).all(2), (traced.tokens == 3 - base).all(2)
    contradicts = (unchanged & (traced.strand < 0)) | (complemented & (traced.strand > 0))
    if bool((wrong := traced.follows & (traced.origin == traced.position) & contradicts).any()):
        row, source, target = wrong.nonzero()[0].tolist()
        form = "unchanged" if bool(unchanged[row, source, target]) else "complemented"
        yield (
            f"the base at position {source} of a window is {form} at position {target} of its view, but `strand` there is "
            f"{int(traced.strand[row, source, target]):+d}; the same holds for {int(wrong.any(1).sum())} positions. +1 means "
            f"as in the genome, -1 complemented. {GATHER}, with `flipped`"
        )


def _missing_insertions(traced: _Traced) -> Iterator[str]:
    """Yield a message if an inserted base has the origin of a base that is elsewhere in the view."""
    moved = traced.follows & (traced.origin == traced.position)
    constant = (traced.tokens == traced.tokens[:, :, :1]).all(2) & traced.stable & traced.replaced[:, :, None]
    twice = constant & (traced.origin == traced.position) & moved.any(2, keepdim=True)
    # A few such positions can be substitutions of one copy of a duplicated base.
    if int(twice.sum()) > 4 and int(twice.sum()) > 0.5 * int(moved.sum(2).gt(1).sum()):
        _, source, target = twice.nonzero()[0].tolist()
        yield (
            f"`origin` is {source} at position {target} of a view, where the base does not come from that position, while the "
            f"base that does is elsewhere in the view; the same holds for {int(twice.sum())} positions. Inserted bases have "
            "origin -1 and strand 0 (`View.gather` with `inserted`)"
        )

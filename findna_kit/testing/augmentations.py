"""What is asked of an augmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from findna_kit import alphabet
from findna_kit.testing.checks import identical, make_checks, relative_difference
from findna_kit.testing.experiments import component_entry, recipe_document, resume_differences
from findna_kit.testing.samples import random_windows
from findna_kit.testing.view_checks import KEYS, columns, input_unchanged, made, randomness, row_random, vectorised

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from findna_kit.components.interfaces import Augmentation, Masking
    from findna_kit.components.views import View
    from findna_kit.testing.checks import Case

_TAKE = "`View.take` moves every column together"


def columns_consistent(case: Case) -> Iterator[str]:
    """Length and types are kept; padding stays last, is N, and has neither origin nor strand; contig and start stay."""
    component = made(case)
    for key in KEYS:
        window = random_windows(12, 50, seed=key)
        view = component(window, row_random(key, 12))
        before, after = columns(window), columns(view)
        for name in before:
            if (after[name].shape, after[name].dtype) != (before[name].shape, before[name].dtype):
                yield (
                    f"`{name}` was {before[name].dtype} {tuple(before[name].shape)} and became {after[name].dtype} "
                    f"{tuple(after[name].shape)}; shape and type are kept, the length L above all: fill up or cut"
                )
                return
        if wrong := list(_untrue_columns(view, window)):
            yield from wrong
            return


def _untrue_columns(view: View, window: View) -> Iterator[str]:
    tokens, origin, strand, valid = view.tokens, view.origin, view.strand, view.valid
    length = tokens.shape[1]
    if not bool(((tokens >= 0) & (tokens <= alphabet.N)).all()):
        yield f"tokens go from {int(tokens.min())} to {int(tokens.max())}; A C G T N = 0 1 2 3 4 are wanted"
    if bool((valid[:, 1:] & ~valid[:, :-1]).any()):
        yield "a valid position follows one that is not; padding stands last"
    if bool(((view.lengths == 0) & (window.lengths > 0)).any()):
        yield "a sequence lost all its valid positions"
    if not bool(((origin >= -1) & (origin < length)).all()):
        yield (
            f"`origin` goes from {int(origin.min())} to {int(origin.max())}; a position of the window, or -1 where there is "
            "none"
        )
    if not bool((strand.abs() <= 1).all()) or not bool(((strand == 0) == (origin < 0)).all()):
        yield "`strand` is to be 0 where `origin` is below 0, and +1 or -1 wherever a base has an origin"
    if bool((~valid & ((tokens != alphabet.N) | (origin >= 0) | view.soft_masked)).any()):
        yield f"padding (not `valid`) holds something: there tokens are N, origin -1, strand 0, soft_masked False. {_TAKE}"
    yield from _untrue_beside(view, window)


def _untrue_beside(view: View, window: View) -> Iterator[str]:
    origin, length = view.origin, view.tokens.shape[1]
    if not (identical(view.contig, window.contig) and identical(view.start, window.start)):
        yield "`contig` or `start` changed: they say where the window lies, whatever is done to it"
    if view.masked_index.shape[1]:
        yield "it masked positions; that is a masking's to do"
    if view.deviation is not None and not bool((view.deviation.isfinite() & (view.deviation >= 0)).all()):
        yield "`deviation` is below 0 or not finite"
    travels = (origin >= 0) & (view.soft_masked != window.soft_masked.gather(1, origin.clamp(0, length - 1)))
    if bool(travels.any()) or bool((view.soft_masked & (origin < 0)).any()):
        yield (
            f"`soft_masked` does not travel with the bases: at {int(travels.sum())} positions it is not that of their origin. "
            f"{_TAKE}"
        )


def unknown(case: Case) -> Iterator[str]:
    """N is neither made nor unmade."""
    component = made(case)
    for key in KEYS:
        window = random_windows(16, 50, seed=key, unknown=0.0 if key % 2 else 0.3)
        view = component(window, row_random(key, 16))
        known = view.valid & (view.origin >= 0)
        was = (window.tokens == alphabet.N).gather(1, view.origin.clamp(0, 49))
        invented = view.valid & (view.tokens == alphabet.N) & ~(known & was)
        unmade = known & was & (view.tokens != alphabet.N)
        if bool(invented.any()):
            yield (
                f"N stands at {int(invented.sum())} valid positions of 16 views where the window has none at their origin; "
                "what is put in is "
                "A C G or T"
            )
        if bool(unmade.any()):
            yield f"{int(unmade.sum())} N of 16 windows became bases; an N stays one: change only tokens below alphabet.N"
        if bool((invented | unmade).any()):
            return


def origin(case: Case) -> Iterator[str]:
    """`origin` and `strand` say where each base of the view comes from; what comes from nowhere has origin -1."""
    component = made(case)
    for key in KEYS[:2]:
        window = random_windows(6, 40, seed=11 + key, unknown=0.1)
        found = list(_lost(component, window, key))
        if found:
            yield from found
            return


def _lost(component: Augmentation | Masking, window: View, key: int) -> Iterator[str]:
    """Follows every base: at each place of each window it is made A, C, G and T in turn, all else being the same, the draw too.

    A place of the view whose base takes four values as that one does holds it. A base that is replaced takes one value, however
    the replacement is drawn; one that is changed because of its neighbours takes two or so.
    """
    tokens, origin, strand, changed = _followed(component, window, key)
    same_map = (origin == origin[:, :, :1]).all(2) & (strand == strand[:, :, :1]).all(2)
    said, turned = origin[:, :, 0], strand[:, :, 0]
    distinct = (tokens[:, :, :, None] != tokens[:, :, None]).sum((2, 3)) == 12
    holds = distinct & (tokens < alphabet.N).all(2) & same_map & changed[:, :, None]
    place = torch.arange(window.tokens.shape[1])[None, :, None]
    # What is put in may be a copy of what stands there (a tandem repeat that grows): it has no origin of its own.
    copies = (holds.sum(2) > 1).any(1)[:, None, None]
    if bool((wrong := holds & (said != place) & ~(copies & (said < 0))).any()):
        row, at, where = wrong.nonzero()[0].tolist()
        yield (
            f"the base at {at} of a window stands at {where} of its view (it follows where that one is made A, C, G and T), "
            "where `origin` "
            f"says {int(said[row, at, where])}; so it is at {int(wrong.any(1).sum())} of {said.shape[0] * said.shape[2]} "
            f"positions. {_TAKE}"
        )
    base = torch.arange(4)[None, None, :, None]
    forward, backward = (tokens == base).all(2), (tokens == 3 - base).all(2)
    if bool((wrong := holds & (said == place) & ((forward & (turned < 0)) | (backward & (turned > 0)))).any()):
        row, at, where = wrong.nonzero()[0].tolist()
        read = "as it is" if bool(forward[row, at, where]) else "complemented"
        yield (
            f"the base at {at} of a window stands at {where} of its view {read}, where `strand` says "
            f"{int(turned[row, at, where]):+d}; so it is "
            f"at {int(wrong.any(1).sum())} positions: +1 as in the genome, -1 complemented. {_TAKE}, with `flipped`"
        )
    constant = (tokens == tokens[:, :, :1]).all(2) & same_map & changed[:, :, None] & (said == place)
    twice = constant & (holds & (said == place)).any(2, keepdim=True)
    if int(twice.sum()) > 4 and int(twice.sum()) > 0.5 * int((holds & (said == place)).sum(2).gt(1).sum()):
        row, at, where = twice.nonzero()[0].tolist()
        yield (
            f"`origin` says {at} at {where} of a view, where a base stands that does not come from there, and the one that "
            "does stands elsewhere "
            f"in it; so it is at {int(twice.sum())} positions: what is put in has origin -1 and strand 0 (`View.take` with "
            "`inserted`)"
        )


def _followed(component: Augmentation | Masking, window: View, key: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Tokens, origin, strand of the views, each [R, place, base, L]; and the places that hold a base, [R, place]."""
    rows, length = window.tokens.shape
    part = torch.arange(rows).repeat_interleave(length * 4)
    many = window.select(part)
    place = torch.arange(length).repeat_interleave(4).repeat(rows)[:, None]
    base = torch.arange(4).repeat(rows * length)[:, None]
    known = many.tokens.gather(1, place) < alphabet.N
    many = many.with_tokens(many.tokens.scatter(1, place, torch.where(known, base, many.tokens.gather(1, place))))
    view = component(many, row_random(key, part))
    shape = (rows, length, 4, length)
    changed = (window.tokens < alphabet.N) & window.valid
    return view.tokens.view(shape), view.origin.view(shape), view.strand.view(shape), changed


def noise(case: Case) -> Iterator[str]:
    """Noise that a view states already is kept, or made more: variances add."""
    component, view = made(case), random_windows(6, 40)
    noisy = view.with_noise(torch.full((6,), 0.5))
    after = component(noisy, row_random(0, 6))
    if after.deviation is None or bool((after.deviation < 0.5 - 1e-6).any()):
        yield (
            "a view with noise of deviation 0.5 came out with less; keep `deviation`, or add to its square: use "
            "`dataclasses.replace`"
        )
        return
    plain = component(view, row_random(0, 6))
    if relative_difference(after.tokens, plain.tokens):
        yield "its tokens depend on the noise that the view states; noise is drawn later, when the bases are encoded"


def composes(case: Case) -> Iterator[str]:
    """Works on what another augmentation has made: origins that are not in order, strands, inserted bases."""
    component = made(case)
    window = random_windows(12, 50, seed=5)
    at = torch.arange(50)[None].expand(12, -1)
    source = (window.lengths[:, None] - 1 - at).where(window.valid, at)
    inserted = torch.full_like(source, alphabet.G)
    before = window.gather(source.masked_fill((at % 9 == 4) & window.valid, -1), inserted=inserted, flipped=window.valid)
    view = component(before, row_random("composes", 12))
    if wrong := list(_kept(view, before)):
        yield from wrong


def _kept(view: View, before: View) -> Iterator[str]:
    """What the result says of a base's origin must be what was said of it before."""
    claims = {
        (row, int(position)): int(strand)
        for row in range(len(before.tokens))
        for position, strand in zip(before.origin[row], before.strand[row], strict=True)
    }
    known = (view.origin >= 0).nonzero().tolist()
    strange = [(row, at) for row, at in known if (row, int(view.origin[row, at])) not in claims]
    if strange:
        row, at = strange[0]
        yield (
            f"after another augmentation, {len(strange)} positions have an `origin` that no base of the view had, such as "
            f"{int(view.origin[row, at])}: `origin` is in the window, not in the view that it is given; move it with the tokens"
        )


def resume(case: Case) -> Iterator[str]:
    """A run that is cut off and resumed equals one that was not, bit for bit."""
    views = recipe_document()["views"]
    for view in views.values():
        view["augment"] = [*view["augment"], component_entry(case)]
    yield from resume_differences(case, recipe_document(views=views))


AUGMENTATION = make_checks(
    columns_consistent, origin, unknown, noise, composes, input_unchanged, randomness, vectorised, resume,
)  # fmt: skip

"""Conformance checks of augmentations. Each function is one check; its docstring is the requirement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from findna_kit import alphabet
from findna_kit.testing.checks import identical, make_checks, relative_difference
from findna_kit.testing.experiments import component_entry, recipe_document, resume_differences
from findna_kit.testing.origins import origin
from findna_kit.testing.samples import random_windows
from findna_kit.testing.view_checks import GATHER, KEYS, build, columns, input_unchanged, randomness, row_random, vectorised

if TYPE_CHECKING:
    from collections.abc import Iterator

    from findna_kit.components.views import View
    from findna_kit.testing.checks import Case


def columns_consistent(case: Case) -> Iterator[str]:
    """Require that shapes and types stay; padding is last, N, and has no origin or strand; contig and start stay."""
    component = build(case)
    for key in KEYS:
        window = random_windows(12, 50, seed=key)
        view = component(window, row_random(key, 12))
        before, after = columns(window), columns(view)
        for name in before:
            # Without the right shapes the other comparisons would fail with an exception, so this returns at once.
            if (after[name].shape, after[name].dtype) != (before[name].shape, before[name].dtype):
                yield (
                    f"`{name}` was {before[name].dtype} {tuple(before[name].shape)} and is {after[name].dtype} "
                    f"{tuple(after[name].shape)}; shape and type must stay, above all the length L: pad or cut"
                )
                return
        if wrong := [*_wrong_tokens(view, window), *_wrong_metadata(view, window)]:
            yield from wrong
            return


def _wrong_tokens(view: View, window: View) -> Iterator[str]:
    """Yield a message for each inconsistency of tokens, origin, strand and padding."""
    tokens, origin, strand, valid = view.tokens, view.origin, view.strand, view.valid
    length = tokens.shape[1]
    if not bool(((tokens >= 0) & (tokens <= alphabet.N)).all()):
        yield f"tokens range from {int(tokens.min())} to {int(tokens.max())}; expected A C G T N = 0 1 2 3 4"
    if bool((valid[:, 1:] & ~valid[:, :-1]).any()):
        yield "a valid position follows padding; padding must be last"
    if bool(((view.lengths == 0) & (window.lengths > 0)).any()):
        yield "a sequence lost all its valid positions"
    if not bool(((origin >= -1) & (origin < length)).all()):
        yield (
            f"`origin` ranges from {int(origin.min())} to {int(origin.max())}; expected a position in the window, or -1 for a "
            "base without origin"
        )
    if not bool((strand.abs() <= 1).all()) or not bool(((strand == 0) == (origin < 0)).all()):
        yield "`strand` must be 0 where `origin` is -1, and +1 or -1 everywhere else"
    if bool((~valid & ((tokens != alphabet.N) | (origin >= 0) | view.soft_masked)).any()):
        yield f"padding (not `valid`) is not empty; it must have token N, origin -1, strand 0 and soft_masked False. {GATHER}"


def _wrong_metadata(view: View, window: View) -> Iterator[str]:
    """Yield a message for each inconsistency of the columns that follow the tokens."""
    origin, length = view.origin, view.tokens.shape[1]
    if not (identical(view.contig, window.contig) and identical(view.start, window.start)):
        yield "`contig` or `start` changed; they locate the window, which an augmentation does not move"
    if view.masked_index.shape[1]:
        yield "positions were masked; masking is the task of a masking component"
    if view.deviation is not None and not bool((view.deviation.isfinite() & (view.deviation >= 0)).all()):
        yield "`deviation` is negative or not finite"
    # `soft_masked` follows from `origin`, so a difference shows that the columns were not moved together.
    differs = (origin >= 0) & (view.soft_masked != window.soft_masked.gather(1, origin.clamp(0, length - 1)))
    if bool(differs.any()) or bool((view.soft_masked & (origin < 0)).any()):
        yield f"`soft_masked` does not follow the bases: it differs from their origin at {int(differs.sum())} places. {GATHER}"


def unknown(case: Case) -> Iterator[str]:
    """Require that no N is introduced, and no N becomes a base."""
    component = build(case)
    for key in KEYS:
        # In turn without N, where any N in the view was introduced, and with many, so that a replaced one is likely.
        window = random_windows(16, 50, seed=key, unknown=0.0 if key % 2 else 0.3)
        view = component(window, row_random(key, 16))
        has_origin = view.valid & (view.origin >= 0)
        # Compared at the origin of each base: the window's N may have moved.
        was_unknown = (window.tokens == alphabet.N).gather(1, view.origin.clamp(0, 49))
        introduced = view.valid & (view.tokens == alphabet.N) & ~(has_origin & was_unknown)
        replaced = has_origin & was_unknown & (view.tokens != alphabet.N)
        if bool(introduced.any()):
            yield (
                f"{int(introduced.sum())} valid positions of 16 views are N although the window has no N at their origin; "
                "insert A, C, G or T only"
            )
        if bool(replaced.any()):
            yield f"{int(replaced.sum())} N of 16 windows became bases; an N must stay N: change only tokens below alphabet.N"
        if bool((introduced | replaced).any()):
            return


def noise(case: Case) -> Iterator[str]:
    """Require that noise that the view already has is kept or increased; variances add up."""
    component, view = build(case), random_windows(6, 40)
    noisy = view.with_noise(torch.full((6,), 0.5))
    after = component(noisy, row_random(0, 6))
    if after.deviation is None or bool((after.deviation < 0.5 - 1e-6).any()):
        yield (
            "a view with noise of deviation 0.5 came back with less; keep `deviation`, or add to its square (see "
            "`dataclasses.replace`)"
        )
        return
    plain = component(view, row_random(0, 6))
    if relative_difference(after.tokens, plain.tokens):
        yield "the tokens depend on the view's noise; noise is only drawn later, when bases are encoded"


def composes(case: Case) -> Iterator[str]:
    """Require that the augmentation works on the output of another one: origins out of order, both strands, inserted bases."""
    component = build(case)
    window = random_windows(12, 50, seed=5)
    positions = torch.arange(50)[None].expand(12, -1)
    # The reverse complement of the valid bases, with every ninth base replaced by an inserted one.
    source = (window.lengths[:, None] - 1 - positions).where(window.valid, positions)
    inserted = torch.full_like(source, alphabet.G)
    before = window.gather(source.masked_fill((positions % 9 == 4) & window.valid, -1), inserted=inserted, flipped=window.valid)
    yield from _invented_origins(component(before, row_random("composes", 12)), before)


def _invented_origins(view: View, before: View) -> Iterator[str]:
    """Yield a message if the view has origins that its input did not have."""
    known = {(row, int(position)) for row in range(len(before.tokens)) for position in before.origin[row]}
    located = (view.origin >= 0).nonzero().tolist()
    invented = [(row, index) for row, index in located if (row, int(view.origin[row, index])) not in known]
    if invented:
        row, index = invented[0]
        yield (
            f"after another augmentation, {len(invented)} positions have an `origin` that no base of the input had, such as "
            f"{int(view.origin[row, index])}: `origin` is a position in the window, not in the input view; move it with the "
            "tokens"
        )


def resume(case: Case) -> Iterator[str]:
    """Require that a run that is interrupted and resumed equals an uninterrupted one, bit for bit."""
    views = recipe_document()["views"]
    # In the views of both branches, after another augmentation.
    for view in views.values():
        view["augment"] = [*view["augment"], component_entry(case)]
    yield from resume_differences(case, recipe_document(views=views))


AUGMENTATION = make_checks(
    columns_consistent, origin, unknown, noise, composes, input_unchanged, randomness, vectorised, resume,
)  # fmt: skip

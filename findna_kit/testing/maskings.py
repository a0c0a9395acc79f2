"""What is asked of a masking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from findna_kit import alphabet
from findna_kit.testing.checks import abbreviate, identical, make_checks
from findna_kit.testing.experiments import component_entry, recipe_document, resume_differences
from findna_kit.testing.samples import random_windows
from findna_kit.testing.view_checks import KEYS, columns, input_unchanged, made, randomness, row_random, vectorised

if TYPE_CHECKING:
    from collections.abc import Iterator

    from findna_kit.components.views import View
    from findna_kit.testing.checks import Case

MASKED = ("masked_index", "masked_weight", "corrupted")


def _tried() -> dict[str, View]:
    """Views of one length and all sorts of content."""
    plain = random_windows(8, 50, unknown=0.0, padded=False)
    at = torch.arange(50)[None].expand(8, -1)
    inserted = plain.gather(at.masked_fill(at % 2 == 0, -1), inserted=torch.full_like(at, alphabet.C))
    return {
        "whole windows": plain,
        "padded windows with N": random_windows(8, 50, seed=1, unknown=0.3),
        "windows of N alone": random_windows(8, 50, unknown=1.0, padded=False),
        "views with every second base inserted": inserted,
        "one window": random_windows(1, 50, unknown=0.5),
    }


def slots(case: Case) -> Iterator[str]:
    """Returns `view.masked_at(...)` with M slots, M a function of the policy and the length alone."""
    component, counts = made(case), {}
    for what, view in _tried().items():
        masked = component(view, row_random("slots", len(view.tokens)))
        counts[what] = masked.masked_index.shape[1]
        shapes = {name: tuple(columns(masked)[name].shape) for name in MASKED}
        if set(shapes.values()) != {(len(view.tokens), counts[what])}:
            yield f"of {what} it made {shapes}; all three are [B, M]"
            return
        if (
            masked.masked_index.dtype != torch.int64
            or masked.corrupted.dtype != torch.int64
            or not masked.masked_weight.is_floating_point()
        ):
            yield "masked_index and corrupted are int64, masked_weight is float"
        if changed := [
            name
            for name, column in columns(view).items()
            if name not in MASKED and not identical(column, columns(masked)[name])
        ]:
            yield (
                f"it changed {abbreviate(changed)}; a masking changes nothing but what `view.masked_at` sets: tokens are the targets"
            )
            return
    if len(set(counts.values())) > 1:
        yield (
            f"the number of slots M depends on what is in the views ({counts}); it may depend on the length alone: give "
            "unused slots weight 0"
        )
    if not counts["whole windows"]:
        yield "M is 0: it masks nothing"


def positions(case: Case) -> Iterator[str]:
    """Masks own bases only: neither N nor padding nor inserted ones, each once; weights lie in [0, 1]."""
    component = made(case)
    for what, view in _tried().items():
        for key in KEYS:
            masked = component(view, row_random(key, len(view.tokens)))
            if wrong := list(_misplaced(masked, what)):
                yield from wrong
                return


def _misplaced(masked: View, what: str) -> Iterator[str]:
    index, weight, length = masked.masked_index, masked.masked_weight, masked.tokens.shape[1]
    if not bool(((index >= 0) & (index < length)).all()):
        yield (
            f"of {what}, masked_index goes from {int(index.min())} to {int(index.max())}, with {length} positions; unused "
            "slots too point inside"
        )
        return
    if not bool(((weight >= 0) & (weight <= 1)).all()):
        yield (
            f"of {what}, masked_weight goes from {float(weight.min())} to {float(weight.max())}; a number from 0 (unused) to "
            "1 is wanted"
        )
    used = weight > 0
    lies = {
        "N": masked.tokens == alphabet.N,
        "padding": ~masked.valid,
        "inserted bases": masked.valid & (masked.origin < 0),
    }
    for name, there in lies.items():
        if count := int((used & there.gather(1, index)).sum()):
            yield (
                f"of {what}, {count} masked positions of weight above 0 are {name}; there is nothing to be learnt: mask what "
                "`findna_kit.components.mask_corruption.maskable_bases` says, and give the other slots weight 0"
            )
    times = torch.zeros(len(index), length).scatter_add_(1, index, used.float())
    if bool((times > 1).any()):
        yield (
            f"of {what}, {int((times > 1).sum())} positions are masked twice; a position stands once among the slots of "
            "weight above 0"
        )
    shown = masked.corrupted
    if bool((used & ~(((shown >= 0) & (shown < alphabet.N)) | (shown == alphabet.MASK))).any()):
        yield (
            f"of {what}, `corrupted` shows {sorted(set(shown[used].tolist()))}; the student is shown A C G T = 0 1 2 3 or "
            "MASK = 5"
        )


def something(case: Case) -> Iterator[str]:
    """Masks something of whole windows, by every draw."""
    component, view = made(case), _tried()["whole windows"]
    idle = [key for key in KEYS if not bool((component(view, row_random(key, 8)).masked_weight > 0).any())]
    if idle:
        yield (
            f"by {len(idle)} of {len(KEYS)} draws it masked nothing of 8 whole windows: there would be nothing to count in "
            "that step"
        )


def resume(case: Case) -> Iterator[str]:
    """A run that is cut off and resumed equals one that was not, bit for bit."""
    views = recipe_document()["views"]
    views["masked"]["mask"] = component_entry(case)
    losses = {"masked": {"name": "masked_nucleotides"}}
    yield from resume_differences(case, recipe_document(views=views, losses=losses))


MASKING = make_checks(slots, positions, something, input_unchanged, randomness, vectorised, resume)

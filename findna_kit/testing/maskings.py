"""Conformance checks of maskings. Each function is one check; its docstring is the requirement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from findna_kit import alphabet
from findna_kit.testing.checks import abbreviate, identical, make_checks
from findna_kit.testing.experiments import component_entry, recipe_document, resume_differences
from findna_kit.testing.samples import random_windows
from findna_kit.testing.view_checks import KEYS, build, columns, input_unchanged, randomness, row_random, vectorised

if TYPE_CHECKING:
    from collections.abc import Iterator

    from findna_kit.components.views import View
    from findna_kit.testing.checks import Case

MASK_COLUMNS = ("masked_index", "masked_weight", "corrupted")


def _sample_views() -> dict[str, View]:
    """Return views of one length with different content."""
    # All of the same length, because M may depend on the length. The content differs in all else that a masking could use.
    plain = random_windows(8, 50, unknown=0.0, padded=False)
    positions = torch.arange(50)[None].expand(8, -1)
    inserted = plain.gather(positions.masked_fill(positions % 2 == 0, -1), inserted=torch.full_like(positions, alphabet.C))
    return {
        "whole windows": plain,
        "padded windows with N": random_windows(8, 50, seed=1, unknown=0.3),
        "windows of N alone": random_windows(8, 50, unknown=1.0, padded=False),
        "views with every second base inserted": inserted,
        "one window": random_windows(1, 50, unknown=0.5),
    }


def slots(case: Case) -> Iterator[str]:
    """Require that the result is `view.with_mask(...)` with M slots, where M depends on the parameters and the length alone."""
    # The shapes on the hot path must not depend on data: torch.compile would recompile, and the device would have to wait.
    component, counts = build(case), {}
    for description, view in _sample_views().items():
        masked = component(view, row_random("slots", len(view.tokens)))
        counts[description] = masked.masked_index.shape[1]
        shapes = {name: tuple(columns(masked)[name].shape) for name in MASK_COLUMNS}
        if set(shapes.values()) != {(len(view.tokens), counts[description])}:
            yield f"for {description} the shapes are {shapes}; all three must be [B, M]"
            return
        if (
            masked.masked_index.dtype != torch.int64
            or masked.corrupted.dtype != torch.int64
            or not masked.masked_weight.is_floating_point()
        ):
            yield "masked_index and corrupted must be int64, masked_weight a floating-point type"
        if changed := [
            name
            for name, column in columns(view).items()
            if name not in MASK_COLUMNS and not identical(column, columns(masked)[name])
        ]:
            yield (
                f"the view's {abbreviate(changed)} changed; a masking changes only what `view.with_mask` sets, because tokens "
                "are the targets"
            )
            return
    if len(set(counts.values())) > 1:
        yield (
            f"the number of slots M depends on the content of the views ({counts}); it may depend on the length alone: give "
            "unused slots weight 0"
        )
    if not counts["whole windows"]:
        yield "M is 0: nothing is masked"


def positions(case: Case) -> Iterator[str]:
    """Require that only bases of the window are masked, not N, padding or inserted bases, and each at most once."""
    component = build(case)
    for description, view in _sample_views().items():
        for key in KEYS:
            masked = component(view, row_random(key, len(view.tokens)))
            if wrong := list(_wrong_positions(masked, description)):
                yield from wrong
                return


def _wrong_positions(masked: View, description: str) -> Iterator[str]:
    index, weight, length = masked.masked_index, masked.masked_weight, masked.tokens.shape[1]
    if not bool(((index >= 0) & (index < length)).all()):
        yield (
            f"for {description}, masked_index ranges from {int(index.min())} to {int(index.max())}, with {length} positions; "
            "unused slots must hold a valid index too"
        )
        return
    if not bool(((weight >= 0) & (weight <= 1)).all()):
        yield (
            f"for {description}, masked_weight ranges from {float(weight.min())} to {float(weight.max())}; expected numbers "
            "from 0 (unused) to 1"
        )
    # Slots of weight 0 may point anywhere, also at a masked position: the view and the losses ignore them.
    used = weight > 0
    forbidden = {
        "N": masked.tokens == alphabet.N,
        "padding": ~masked.valid,
        "inserted bases": masked.valid & (masked.origin < 0),
    }
    for name, places in forbidden.items():
        if count := int((used & places.gather(1, index)).sum()):
            yield (
                f"for {description}, {count} masked positions with a weight above 0 are {name}, for which there is no target: "
                "mask only where `maskable_bases` of findna_kit.components is True, and give other slots weight 0"
            )
    # A position in two slots would count twice in the loss.
    times = torch.zeros(len(index), length).scatter_add_(1, index, used.float())
    if bool((times > 1).any()):
        yield (
            f"for {description}, {int((times > 1).sum())} positions are masked twice; a position may be in one slot with a "
            "weight above 0"
        )
    shown = masked.corrupted
    if bool((used & ~(((shown >= 0) & (shown < alphabet.N)) | (shown == alphabet.MASK))).any()):
        yield (
            f"for {description}, `corrupted` contains {sorted(set(shown[used].tolist()))}; expected A C G T = 0 1 2 3 or MASK "
            "= 5"
        )


def something(case: Case) -> Iterator[str]:
    """Require that every draw masks at least one base of a batch of whole windows."""
    component, view = build(case), _sample_views()["whole windows"]
    idle = [key for key in KEYS if not bool((component(view, row_random(key, 8)).masked_weight > 0).any())]
    if idle:
        yield (
            f"{len(idle)} of {len(KEYS)} draws masked no base of 8 whole windows: a loss on masked bases would have nothing to "
            "count in that step"
        )


def resume(case: Case) -> Iterator[str]:
    """Require that a run that is interrupted and resumed equals an uninterrupted one, bit for bit."""
    views = recipe_document()["views"]
    # With a loss on masked bases, so that a difference in the masks changes the gradients.
    views["masked"]["mask"] = component_entry(case)
    losses = {"masked": {"name": "masked_nucleotides"}}
    yield from resume_differences(case, recipe_document(views=views, losses=losses))


MASKING = make_checks(slots, positions, something, input_unchanged, randomness, vectorised, resume)

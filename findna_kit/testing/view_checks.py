"""Conformance checks that augmentations and maskings share, and helpers to call them and compare views."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from findna_kit.components.draws import Draw
from findna_kit.components.views import View
from findna_kit.testing.checks import abbreviate, differing_names, identical
from findna_kit.testing.samples import builtin_contigs, random_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from findna_kit.components.interfaces import Augmentation, Masking
    from findna_kit.testing.checks import Case

GATHER = "`View.gather` moves all columns together"
"""Advice that several messages end with."""
KEYS = range(6)
"""Keys of the random draws that most checks try."""
_TORCH = str(Path(torch.__file__).parent)


def build(case: Case) -> Augmentation | Masking:
    """Return an instance on which `on_genome` has been called with the built-in genome."""
    component: Augmentation | Masking = case.component(case.config)
    # As the trainer does before the first view.
    component.on_genome(builtin_contigs())
    return component


def row_random(key: int | str, rows: Tensor | int) -> Draw:
    """Return the random draw of a key, for these indices of a global batch or for the first `rows` ones."""
    return Draw("conformance", key, rows=torch.arange(rows) if isinstance(rows, int) else rows)


def columns(view: View) -> dict[str, Tensor]:
    """Return the tensors of a view, by name."""
    values = {field.name: getattr(view, field.name) for field in fields(View)}
    return {name: column for name, column in values.items() if column is not None}


def differing_columns(first: View, second: View) -> list[str]:
    """Return the names of the columns that differ between two views."""
    return differing_names(columns(first), columns(second))


def input_unchanged(case: Case) -> Iterator[str]:
    """Require that the input view is not changed in place, and the output is on its device."""
    component, view = build(case), random_windows(6, 40)
    before = {name: column.clone() for name, column in columns(view).items()}
    after = columns(component(view, row_random(0, 6)))
    changed = [name for name, column in columns(view).items() if not identical(column, before[name])]
    if changed:
        yield (
            f"the input view's {abbreviate(changed)} was changed in place; other views are made from the same input: create "
            "new tensors"
        )
    if devices := {str(column.device) for column in after.values()} - {"cpu"}:
        yield f"for a view on the CPU the output has columns on {abbreviate(devices)}; use the device of the input view"


def randomness(case: Case) -> Iterator[str]:
    """Require that all randomness comes from `draw`, and that a sample does not depend on the rest of the batch."""
    component, view = build(case), random_windows(12, 60, seed=3)
    whole = component(view, row_random("draws", 12))
    if differing := differing_columns(component(view, row_random("draws", 12)), whole):
        yield (
            f"two calls with the same draw gave different {abbreviate(differing)}; take every random number from `draw`, and "
            "keep no state"
        )
        return
    # A part of the batch, as another process or a smaller micro-batch would see it.
    part = torch.tensor([2, 3, 7, 11])
    if differing := differing_columns(component(view.select(part), row_random("draws", part)), whole.select(part)):
        yield (
            f"samples 2, 3, 7 and 11 of a batch of 12 have different {abbreviate(differing)} when they are processed alone "
            "with the same draw; a sample may depend on its own random numbers only, so that every process and micro-batch "
            "gets the same views"
        )
    yield from _independent_samples(component)


def _independent_samples(component: Augmentation | Masking) -> Iterator[str]:
    """Yield a message if equal windows get equal views although other draws give other views, or the reverse.

    A component whose output is the same for every draw is deterministic by intention.
    """
    # Equal windows: what differs between the views then comes from the draw.
    view = random_windows(1, 60, unknown=0.0).select(torch.zeros(16, dtype=torch.int64))
    results = [component(view, row_random(key, 16)) for key in KEYS]
    equal_samples = all(not differing_columns(result, result.select(torch.zeros(16, dtype=torch.int64))) for result in results)
    equal_keys = all(not differing_columns(result, results[0]) for result in results)
    if equal_samples and not equal_keys:
        yield (
            "16 copies of one window gave 16 equal views, which differ between 6 keys: the samples of a batch share random "
            "numbers. `draw.uniform(n)` returns [B, n]; use a separate row for each sample"
        )
    if equal_keys and not equal_samples:
        yield "6 different draws gave the same views: take random numbers from `draw`, which depends on the step and the view"


class _OperationCounter(TorchFunctionMode):
    """Counts the torch functions that are called inside the context."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def count_operations(call: Callable[[], object]) -> int:
    """Return the number of torch functions called plus lines of Python executed, without those inside torch."""
    lines, counter_code = 0, _OperationCounter.__torch_function__.__code__

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal lines
        if frame.f_code is counter_code or frame.f_code.co_filename.startswith(_TORCH):
            return None
        lines += event == "line"
        return trace

    # A debugger or a coverage tool may have a trace function of its own.
    previous, operations = sys.gettrace(), _OperationCounter()
    with operations:
        sys.settrace(trace)
        try:
            call()
        finally:
            sys.settrace(previous)
    return operations.count + lines


def vectorised(case: Case) -> Iterator[str]:
    """Require that the whole batch is processed at once: no Python loop over samples or over positions."""
    component = build(case)

    def cost(batch: int, length: int) -> int:
        view = random_windows(batch, length, padded=False)
        return count_operations(lambda: columns(component(view, row_random("work", batch))))

    cost(2, 32)  # the first call includes imports and the filling of caches
    # A loop runs at least one line for each of the 128 more sequences, or 160 more positions. The bounds below leave room for
    # loops that grow more slowly, over blocks of rows or over powers of two.
    few, many, long = cost(2, 32), cost(130, 32), cost(2, 192)
    unit = "torch functions and lines of Python"
    advice = "Write it as operations on whole tensors [B, L]"
    if many - few > 64:
        yield f"{few:,} {unit} ran for 2 sequences and {many:,} for 130: there is a loop over the samples. {advice}"
    if long - few > 40:
        yield (
            f"{few:,} {unit} ran for sequences of 32 bases and {long:,} for sequences of 192: there is a loop over the "
            f"positions. {advice}"
        )
